/** What Waybill selects, read alike whatever parsers the user has set: its 64-bit integers stay below 2^53. By type OID, from text. */
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  17: (text) => Buffer.from(text.slice(2), 'hex'),
  20: Number,
  21: Number,
  23: Number,
  701: Number,
}
const asText = (text: string): string => text

export function parserOf(oid: number): (text: string) => unknown {
  return parsers[oid] ?? asText
}

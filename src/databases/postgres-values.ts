/** What Waybill selects, read alike whatever parsers the user has set: its 64-bit integers stay below 2^53. By type OID, from text. */
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  17: bytesOf,
  20: Number,
  21: Number,
  23: Number,
  701: Number,
}
const asText = (text: string): string => text

export function parserOf(oid: number): (text: string) => unknown {
  return parsers[oid] ?? asText
}

/** In either form that `bytea_output` may ask for; that of a user's connection is the user's. */
function bytesOf(text: string): Uint8Array {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex')
  const unescaped = text.replaceAll(/\\(\\|[0-7]{3})/g, (_, escaped: string) =>
    escaped === '\\' ? escaped : String.fromCharCode(Number.parseInt(escaped, 8)),
  )
  return Buffer.from(unescaped, 'latin1')
}

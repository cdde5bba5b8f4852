declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** UUIDv7, lower case, 36 characters. Given at publish, the same on every hop. */
export type MessageId = Branded<string, 'MessageId'>

/** One running Waybill instance. A new one for every start, so that a restarted process never passes for its predecessor. */
export type OwnerId = Branded<string, 'OwnerId'>

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isMessageId(text: string): text is MessageId {
  return uuid.test(text)
}

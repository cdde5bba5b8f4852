/** FNV-1a, 32 bits, over the UTF-8 bytes: stable for ever, because it decides which queue a sharding key's messages are in (P19). */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x80) return fnv1a32OfBytes(utf8.encode(text))
    hash = Math.imul(hash ^ unit, 0x01000193)
  }
  return hash >>> 0
}

const utf8 = new TextEncoder()

function fnv1a32OfBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** The queue of a message: by its sharding key, or spread by its id when it has none. */
export function queueOf(
  message: { readonly id: string; readonly shardingKey: string | null },
  queues: number,
): number {
  return fnv1a32(message.shardingKey ?? message.id) % queues
}

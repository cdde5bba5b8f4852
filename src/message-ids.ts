import { v7 } from 'uuid'

const bytesPerId = 16
/** Drawn many at once: a draw of its own costs more than all else of an id. */
const drawn = new Uint8Array(bytesPerId * 256)
let used = drawn.length
let msecs = -Infinity
let seq = 0

/** A UUIDv7. Those of one process sort in the order in which they were made, also within a millisecond (RFC 9562, 6.2, method 1). */
export function messageId(now: number): string {
  if (used === drawn.length) {
    crypto.getRandomValues(drawn)
    used = 0
  }
  const random = drawn.subarray(used, (used += bytesPerId))
  if (now > msecs) {
    msecs = now
    seq = new DataView(random.buffer, random.byteOffset).getInt32(0) & 0x7fffffff
  } else {
    seq = (seq + 1) | 0
    if (seq === 0) msecs++
  }
  return v7({ random, msecs, seq })
}

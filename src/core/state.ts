/** What became of a message in one consumer group (protocol P3). Changed only by compare-and-set; `done` is terminal. */
export const dispositionStates = [
  'running',
  'retrying',
  'held',
  'dead',
  'discarded',
  'filtered',
  'done',
] as const
export type DispositionState = (typeof dispositionStates)[number]

/** Where a message stands in the books (protocol P30). `waiting` and `in-transit` follow from the cursors, not from a row. */
export const states = [
  'waiting',
  'in-transit',
  'delayed',
  'in-doubt',
  ...dispositionStates,
  'cancelled',
  'rolled-back',
  'expired',
] as const
export type State = (typeof states)[number]

// This program runs by the real clock, as its user does: it has no ports, and nobody simulates it.
// oxlint-disable-next-line no-restricted-imports
export { setTimeout as wait } from 'node:timers/promises'

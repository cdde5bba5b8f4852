/** What the warehouse holds itself to, in calls of the logistics company. */
export const callsPerSecond = 10

/**
 * What the logistics company bears. Calls begin at the warehouse's rate, but arrive when the machine lets them: up to one for each of the
 * topic's four queues may be late and fall into the next second.
 */
export const bearableCallsPerSecond = callsPerSecond + 5

import { graphileWorker } from './graphile-worker.ts'
import type { Peer } from './peer.ts'
import { pgBoss } from './pg-boss.ts'
import { waybill } from './waybill.ts'

/** Waybill first. */
export const contestants: readonly Peer[] = [waybill, pgBoss, graphileWorker]

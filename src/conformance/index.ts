/** What Waybill's contracts mean, as tests for any runner. An implementation that passes them can be plugged in. */
export type { ConformanceTest } from './conformance-test.ts'
export type { DatabaseClaims, HandleSubject, OwnHandle, Refusal } from './database-bench.ts'
export { databaseSuite } from './database-suite.ts'
export type { StoreClaims } from './store-bench.ts'
export { storeSuite } from './store-suite.ts'
export type { DatabaseSubject, Effects } from './subject.ts'
export type {
  OutgoingMessage,
  TransportClaims,
  TransportFaults,
  TransportSubject,
} from './transport-subject.ts'
export { transportSuite } from './transport-suite.ts'

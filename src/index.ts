export { Waybill, type Consumer } from './waybill.ts'
export type { WaybillOptions } from './options.ts'
export type { Health } from './observe/health.ts'
export { binary, topic, type Addressed, type Topic, type TopicOptions } from './core/topic.ts'
export { deadLetter, discard, retry, type Outcome } from './core/outcome.ts'
export {
  DependencyDown,
  dependency,
  dependencyStates,
  type Dependency,
  type DependencyOptions,
  type DependencySight,
  type DependencyState,
  type ListedDependency,
} from './core/dependencies.ts'
export { exponentialRetries, fixedRetries, rocketmqRetries, type RetryPolicy } from './core/policies/retry.ts'
export { WaybillError, errorCodes, isWaybillError, type ErrorCode } from './core/errors.ts'
export type { Half, HalfResult, HalfWork } from './publish/half-messages.ts'
export {
  halfStates,
  type Decision,
  type HalfAnswer,
  type HalfFilter,
  type HalfOptions,
  type HalfState,
  type StoredHalf,
} from './core/half.ts'
export type { Pause, StoredGroup } from './core/groups.ts'
export {
  redriveStates,
  type RedriveFilter,
  type RedriveItem,
  type RedriveJob,
  type RedriveOrder,
  type RedriveState,
  type RedriveStep,
} from './core/redrive.ts'
export type { RedriveOptions } from './recover/redrives.ts'
export { trace, type FactSource, type Trace, type TraceOptions, type TracedDatabase } from './trace/trace.ts'
export type { Hop, HopName, Journey, Sight } from './trace/journey.ts'
export type { Evidence, Verdict } from './trace/verdict.ts'
export { verdictCodes, type Both, type VerdictCode } from './trace/sentences.ts'
export {
  ledger,
  type BookSource,
  type Ledger,
  type LedgerDatabase,
  type LedgerLine,
  type LedgerOptions,
} from './trace/ledger.ts'
export type { Delivery, MissingMessage } from './trace/deliveries.ts'
export type { Named } from './trace/sources.ts'
export type { Asked, StoreFacts } from './core/facts.ts'
export type { BookFault, BookOffender, BookStore } from './core/books.ts'
export type { Duration } from './core/duration.ts'
export type { MessageId } from './core/ids.ts'
export type { Message, NewMessage } from './core/message.ts'
export type { BatchHandler, Context, Handler } from './consume/handler.ts'
export type { BatchConsumeOptions, ConsumeOptions } from './consume/options.ts'
export type {
  AuditNote,
  DeadLetter,
  DeadLetterFilter,
  DeadLetterKey,
  Found,
  QueueLag,
  SearchQuery,
  StartPosition,
} from './core/store.ts'
export type { DispositionState, State } from './core/state.ts'
export type { Database } from './core/database.ts'
export type {
  IncomingBatch,
  OpenTransport,
  OutgoingBatch,
  SendOutcome,
  Subscription,
  Transport,
  TransportCapabilities,
  TransportContext,
} from './core/transport.ts'
export type { Log } from './core/log.ts'
export type { StandardSchema } from './core/standard-schema.ts'

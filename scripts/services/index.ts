/** Real database servers for tests: shared ones, and private ones to break. docs/how-to/run-the-servers.md says how. */
export { type TestDatabase, freshDatabase } from './databases.ts'
export { ServiceError, type ServiceErrorCode } from './errors.ts'
export {
  type DataCopy,
  type PrivateOptions,
  type PrivateServer,
  copyData,
  crashService,
  haltService,
  removeService,
  restartService,
  startPrivateService,
} from './private.ts'
export { type Skipped, requireInstalled, requireService, serviceUrl } from './require.ts'
export { type StartedService, serviceStatus, startService, stopService } from './shared.ts'
export { type ServerName, type ServerState, type ServiceName, isOnMysql, serviceNames } from './state.ts'

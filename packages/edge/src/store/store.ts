export type { LogFile } from './catalogue.ts'
export {
  LOGS_GROUP,
  LogStore,
  type LogStoreMeters,
  type LogStoreOptions,
  type LogStoreParts,
  type PostgresLogStoreOptions,
} from './log-store.ts'
export type { IncomingRow } from './parquet-writer.ts'
export { queryPostgres } from './postgres/query-postgres.ts'
export { tailPostgres } from './postgres/tail-postgres.ts'
export { LIMITS_DEFAULT, LIMITS_MAX, type QueryLimits } from './query/limits.ts'
export type { QueryColumn } from './query/messages.ts'
export { queryLogs } from './query/query-logs.ts'
export type { Answered } from './query/query-process.ts'
export { type TailOptions, tailLogs } from './query/tail-logs.ts'
export { readEvent } from './read-event.ts'
export { LOG_EPOCH, readRow } from './read-row.ts'
export { readTask, readTaskReport } from './read-task.ts'
export { TABLES } from './tables.ts'

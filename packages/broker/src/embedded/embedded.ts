export { embeddedBroker } from './embedded-broker.ts'
export type { EmbeddedBrokerOptions } from './options.ts'
export { packedBytesMax, packRecord, unpackChunk } from './record-codec.ts'
export { explainSqliteError, openSqliteFile, type SqliteFile, sqliteCodeOf } from './sqlite-file.ts'
export {
  answerCalls,
  type Calls,
  callThread,
  type Handlers,
  type ThreadCaller,
  type ThreadCallerOptions,
  Transferring,
} from './thread-call.ts'

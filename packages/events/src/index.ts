export { type EncodedEvent, fromRecord, readStructured, toRecord, toStructured } from '@forebay/protocol/cloudevents'
export { AGAIN_PARTITIONS, againTopicOf } from './again/again-topic.ts'
export {
  type DeadLettersOptions,
  type DiscardReport,
  type EventDeadLetters,
  type LetterChoice,
  openDeadLetters,
} from './again/dead-letters.ts'
export type { EventLetter, EventLetterFilter, WholeLetter } from './again/event-letter.ts'
export type { RedriveOptions, RedriveReport, RunOptions } from './again/redrive-letters.ts'
export { type ReplayOptions, type ReplayReport, replayEvents } from './again/replay.ts'
export {
  type AsyncApiDocument,
  type AsyncApiOptions,
  type AsyncApiServer,
  type AsyncApiService,
  asyncApi,
} from './asyncapi/async-api.ts'
export type { AsyncApiQueue } from './asyncapi/queue-parts.ts'
export type { BatchHandler } from './batch-handler.ts'
export {
  assertCompatible,
  type Break,
  type CompatibilityReport,
  checkEvents,
  type EventReport,
  type EventsToCheck,
} from './compatibility/check-events.ts'
export {
  type DescribedEvent,
  type DescribedSchema,
  describeDefinition,
  describeDocument,
  describeSchema,
} from './compatibility/described-event.ts'
export type { InclusionOptions } from './compatibility/inclusion.ts'
export { type Consumer, createConsumer } from './consumer.ts'
export type { ConsumerCounts } from './consumer-counts.ts'
export type { ConsumerOptions, HandlersOf, RetryGiven } from './consumer-options.ts'
export { type DataOf, defineEvent, type EventDefinition, type EventOf, type EventOptions } from './define-event.ts'
export type { Event, EventToPublish } from './event.ts'
export { deadTopicOf, type EventLog, type EventLogOptions, openEventLog, type TopicOptions } from './event-log.ts'
export type { ConsumerMeters, EventMeters, OutboxMeters, ProducerMeters } from './event-meters.ts'
export type { BatchContext, EventPlace, HandlerContext } from './handler-context.ts'
export { AttemptAborted, BatchError, DeadError, type FailedOfBatch, RetryError } from './handler-errors.ts'
export type { EventIdentity, InboxOptions } from './inbox/inbox-options.ts'
export { type PostgresInbox, postgresInbox } from './inbox/postgres-inbox.ts'
export { type SqliteInbox, sqliteInbox } from './inbox/sqlite-inbox.ts'
export { jsonSchema } from './json-schema.ts'
export type { OutboxOptions } from './outbox/outbox-options.ts'
export type { OutboxLag, OutboxRow, OutboxRows } from './outbox/outbox-rows.ts'
export {
  type PostgresOutbox,
  type PostgresOutboxOptions,
  type PostgresRowsOptions,
  postgresOutbox,
} from './outbox/postgres-outbox.ts'
export type { PostgresListener } from './outbox/postgres-rows.ts'
export { createRelay, type Relay, type RelayCounts } from './outbox/relay.ts'
export type { RelayOptions } from './outbox/relay-options.ts'
export { type SqliteOutbox, sqliteOutbox } from './outbox/sqlite-outbox.ts'
export type { PostgresConnections, PostgresStatement, PostgresTransaction } from './postgres-client.ts'
export { prepareSchemas } from './prepare-schemas.ts'
export { createProducer, type Producer, type ProducerOptions, type Published } from './producer.ts'
export type { EventSchema, SchemaImport, SchemaText, WriterSchema } from './schema.ts'
export { childTraceparent } from './trace-context.ts'

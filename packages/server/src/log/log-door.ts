import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { type Broker, type Clock, PublishError, type RecordToPublish } from '@forebay/broker'
import { ForebayError, grpcDefinition, toForebayError } from '@forebay/protocol'
import {
  Durability,
  type FailedRecord,
  FailedRecordSchema,
  type InspectRequest,
  InspectRequestSchema,
  type InspectResponse,
  InspectResponseSchema,
  LogService,
  type OpenRequest,
  OpenRequestSchema,
  type OpenResponse,
  OpenResponseSchema,
  type PublishRequest,
  PublishRequestSchema,
  type PublishResponse,
  PublishResponseSchema,
} from '@forebay/protocol/log'
import type {
  Metadata,
  ServerDuplexStream,
  ServerUnaryCall,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Admission } from '../accept/admission.ts'
import { AnswerWriter } from '../accept/grpc-calls.ts'
import { badField, onlyText, readMessage } from '../accept/grpc-fields.ts'
import { statusOf } from '../accept/grpc-status.ts'
import type { Authenticate } from '../accept/principal.ts'
import { PrincipalSlots } from '../accept/principal-slots.ts'
import type { QueueOptions } from '../options.ts'
import type { Telemetry } from '../telemetry.ts'
import { ConsumeCall, type StreamParts } from './consume-call.ts'
import { HandOvers } from './hand-overs.ts'
import { ListenCall } from './listen-call.ts'
import { safeNumber, toPublish } from './log-messages.ts'
import { logRules, TOPICS_MAX } from './log-rules.ts'

/** Records of one Publish. */
export const PUBLISH_RECORDS_MAX = 10_000
/** Partitions of one topic that is made here. */
export const TOPIC_PARTITIONS_MAX = 256
/** Partitions of all topics that one process is asked for, so that nobody fills the log with empty ones. */
export const PARTITIONS_MADE_MAX = 10_000
/** Streams of one process; beyond it OVERLOADED. */
export const LOG_STREAMS_MAX = 512
/** The same for one principal, where there are keys. */
export const LOG_STREAMS_PER_PRINCIPAL_MAX = 256
/** Largest record that passes, whatever the log takes: with what stands beside it, it must fit a message. bytes */
export const LOG_RECORD_BYTES_MAX = 8 * 1024 * 1024 - 64 * 1024

/** forebay.log.v1.LogService: the log of this process for others. */
export interface LogDoor {
  /** For `Server.addService`; requests pass as bytes. */
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  /** Ends the streams: what is settled is stored, and everybody is told to come back. */
  stop(): void
}

export interface LogDoorParts {
  /** Open. */
  readonly broker: Broker
  readonly queues: Iterable<QueueOptions>
  readonly authenticate: Authenticate
  /** Whether there are keys, so that principals can be told apart. */
  readonly keys: boolean
  /** For the bytes of what is published. */
  readonly admission: Admission
  readonly clock: Clock
  readonly telemetry: Telemetry
}

export function createLogDoor(parts: LogDoorParts): LogDoor {
  const { broker, admission, clock, telemetry } = parts
  const rules = logRules(parts.queues)
  const slots = parts.keys ? new PrincipalSlots(LOG_STREAMS_PER_PRINCIPAL_MAX) : null
  const handOvers = new HandOvers(clock)
  const open = new Set<{ stop(why: ForebayError): void }>()
  /** Topics that were asked for, with as many partitions. */
  const made = new Map<string, number>()
  let stopping = false

  return {
    definition: definitionOfBytes(),
    handlers: {
      Open: unary(OpenRequestSchema, makeTopics),
      Publish: unary(PublishRequestSchema, publish),
      Inspect: unary(InspectRequestSchema, inspect),
      Consume: stream((given, ended) => new ConsumeCall(given, ended)),
      Listen: stream((given, ended) => new ListenCall(given, ended)),
    },
    stop() {
      stopping = true
      for (const one of open) one.stop(stoppingError())
    },
  }

  async function makeTopics({ topics }: OpenRequest): Promise<OpenResponse> {
    if (topics.length > TOPICS_MAX)
      throw badField('topics', `topics has ${topics.length} names; at most ${TOPICS_MAX}.`)
    const wanted = topics.map(({ name, partitions, retentionMs }) => {
      rules.checkTopic(name)
      if (partitions < 1 || partitions > TOPIC_PARTITIONS_MAX) {
        throw badField(
          'topics.partitions',
          `partitions of ${name} is ${partitions}; give 1 to ${TOPIC_PARTITIONS_MAX}.`,
        )
      }
      const kept = retentionMs === undefined ? 'forever' : safeNumber(retentionMs, 'topics.retention_ms')
      return { name, partitions, retentionMs: kept } as const
    })
    const missing = wanted.filter(({ name }) => !made.has(name))
    const more = missing.reduce((sum, { partitions }) => sum + partitions, 0)
    const before = [...made.values()].reduce((sum, partitions) => sum + partitions, 0)
    if (before + more > PARTITIONS_MADE_MAX) {
      const message = `Topics with ${before} partitions were asked for since this server began; at most ${PARTITIONS_MADE_MAX}.`
      throw badField('topics', message)
    }
    for (const { name, partitions } of missing) made.set(name, partitions)
    try {
      if (missing.length > 0) await broker.open({ topics: missing })
    } catch (thrown) {
      for (const { name } of missing) made.delete(name)
      throw thrown
    }
    const { durability, recordBytesMax } = broker.capabilities
    return create(OpenResponseSchema, {
      durability: DURABILITIES[durability],
      recordBytesMax: Math.min(recordBytesMax, LOG_RECORD_BYTES_MAX),
    })
  }

  async function publish({ records, groups }: PublishRequest, bytes: number): Promise<PublishResponse> {
    if (records.length === 0 || records.length > PUBLISH_RECORDS_MAX) {
      throw badField('records', `There are ${records.length} records; send 1 to ${PUBLISH_RECORDS_MAX}.`)
    }
    const sizes = groups.length === 0 ? [records.length] : groups
    if (sizes.includes(0) || sizes.reduce((sum, size) => sum + size, 0) !== records.length) {
      throw badField('groups', `groups do not add up to the ${records.length} records, or one of them is empty.`)
    }
    for (const topic of new Set(records.map((one) => one.topic))) rules.checkTopic(topic)
    admission.enter(bytes)
    try {
      return await publishGroups(broker, records.map(toPublish), sizes)
    } finally {
      admission.leave(bytes)
    }
  }

  async function inspect({ topics, group }: InspectRequest): Promise<InspectResponse> {
    rules.checkTopics(topics)
    if (group !== '') rules.checkGroup(group)
    const states = await broker.inspect({ topics, ...(group === '' ? {} : { group }) })
    return create(InspectResponseSchema, {
      partitions: states.map(({ topic, partition, start, end, committed }) => ({
        topic,
        partition,
        start: BigInt(start),
        end: BigInt(end),
        ...(committed === null ? {} : { committed: BigInt(committed) }),
      })),
    })
  }

  function principalOf({ metadata }: { readonly metadata: Metadata }): string {
    return parts.authenticate(onlyText(metadata, 'authorization'))
  }

  function unary<Request extends DescMessage, Response>(
    schema: Request,
    handle: (request: MessageShape<Request>, bytes: number) => Promise<Response>,
  ) {
    return (call: ServerUnaryCall<Uint8Array, Response>, answer: sendUnaryData<Response>): void => {
      begin(call).then(
        (response) => answer(null, response),
        (thrown: unknown) => answer(statusOf(refused(thrown))),
      )
    }

    async function begin(call: ServerUnaryCall<Uint8Array, Response>): Promise<Response> {
      principalOf(call)
      if (stopping) throw stoppingError()
      return handle(readMessage(schema, call.request), call.request.length)
    }
  }

  function stream<Response>(
    begin: (given: StreamParts<Response>, ended: () => void) => { stop(why: ForebayError): void },
  ) {
    return (call: ServerDuplexStream<Uint8Array, Response>): void => {
      const endCall = (writer: AnswerWriter<Response>, thrown: unknown) =>
        writer.end(thrown === null ? null : statusOf(refused(thrown)))
      try {
        const principal = principalOf(call)
        if (stopping) throw stoppingError()
        if (open.size >= LOG_STREAMS_MAX) throw tooMany(LOG_STREAMS_MAX)
        if (slots?.take(principal) === false) throw tooMany(slots.max)
        const begun = begin({ call, broker, rules, handOvers, clock, endCall }, () => {
          open.delete(begun)
          slots?.free(principal)
        })
        open.add(begun)
      } catch (thrown) {
        endCall(new AnswerWriter(call, clock), thrown)
        call.resume()
      }
    }
  }

  function refused(thrown: unknown): ForebayError {
    const error = toForebayError(thrown)
    telemetry.metrics.refused.inc({ code: error.code })
    if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'answering a call of the log failed')
    return error
  }
}

const DURABILITIES = {
  embedded: Durability.EMBEDDED,
  replicated: Durability.REPLICATED,
  fsync: Durability.FSYNC,
} as const

/** Each group is a call of its own, so that the failure of one takes no positions from the others. */
async function publishGroups(
  broker: Broker,
  records: readonly RecordToPublish[],
  sizes: readonly number[],
): Promise<PublishResponse> {
  const partitions = new Array<number>(records.length).fill(0)
  const offsets = new Array<bigint>(records.length).fill(-1n)
  const failed: FailedRecord[] = []
  let next = 0
  const published = sizes.map(async (size) => {
    const from = next
    next += size
    try {
      const positions = await broker.publish(sizes.length === 1 ? records : records.slice(from, next))
      for (const [index, { partition, offset }] of positions.entries()) {
        partitions[from + index] = partition
        offsets[from + index] = BigInt(offset)
      }
    } catch (thrown) {
      if (!(thrown instanceof PublishError)) throw thrown
      for (const { index, outcome, cause } of thrown.failed) {
        const { code, message } = toForebayError(cause)
        const maybeAppended = outcome === 'unknown'
        failed.push(create(FailedRecordSchema, { index: from + index, maybeAppended, code, message }))
      }
    }
  })
  await Promise.all(published)
  return create(PublishResponseSchema, { partitions, offsets, failed })
}

function definitionOfBytes(): ServiceDefinition {
  const pass = (bytes: Buffer) => bytes
  return Object.fromEntries(
    Object.entries(grpcDefinition(LogService)).map(([name, method]) => [name, { ...method, requestDeserialize: pass }]),
  )
}

function stoppingError(): ForebayError {
  return new ForebayError('STOPPING', 'This server is stopping; come back, or go on with another.')
}

function tooMany(limit: number): ForebayError {
  return new ForebayError('OVERLOADED', `There are ${limit} streams of the log already; try again soon.`, {
    members: { limit },
  })
}

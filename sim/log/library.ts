import type { Library } from '../../packages/broker/src/kafka/library.ts'
import type { Answer, SimProcess } from '../process.ts'
import { GROUP_CODE, type Joined, type PlacedPartition } from './coordinator.ts'
import type { SimLog } from './log.ts'
import type { SimPartition } from './partition.ts'

/**
 * Stands in for the Kafka library, so that the real adapter (its cluster, membership, assignments, commits, listeners)
 * runs on the simulated log: a connection, and the calls that the adapter makes over it. What is published and fetched
 * goes other ways (see publisher.ts, fetcher.ts), so that no record batches have to be written in bytes.
 */
export function simulatedLibrary(log: SimLog, process: SimProcess): Library {
  const calls = apis(log, process)
  const api = (name: keyof typeof calls) => ({
    api: {
      async: (connection: SimConnection, ...given: never[]) =>
        connection.call((answer) =>
          (calls[name] as (answer: Answer<unknown>, ...given: never[]) => void)(answer, ...given),
        ),
    },
  })
  const library = {
    Connection: class extends SimConnection {
      constructor(_clientId: string, options: { readonly requestTimeout: number }) {
        super(log, process, options.requestTimeout)
      }
    },
    metadataV9: api('metadata'),
    listOffsetsV7: api('listOffsets'),
    findCoordinatorV4: api('findCoordinator'),
    joinGroupV7: api('join'),
    syncGroupV5: api('sync'),
    heartbeatV4: api('heartbeat'),
    leaveGroupV4: api('leave'),
    offsetCommitV8: api('commit'),
    offsetFetchV8: api('committed'),
    // What members tell each other only has to come back as it was.
    encodeConsumerProtocolSubscription: <Value>(value: Value) => value,
    decodeConsumerProtocolSubscription: <Value>(value: Value) => value,
    encodeConsumerProtocolAssignment: <Value>(value: Value) => value,
    decodeConsumerProtocolAssignment: <Value>(value: Value | undefined) => value ?? { assignedPartitions: [] },
  }
  return library as unknown as Library
}

const NODE = 1
let connections = 0

class SimConnection {
  readonly #log: SimLog
  readonly #process: SimProcess
  readonly #timeoutMs: number
  readonly #channel = `connection ${++connections}`
  #standing = false

  constructor(log: SimLog, process: SimProcess, timeoutMs: number) {
    this.#log = log
    this.#process = process
    this.#timeoutMs = timeoutMs
  }

  isConnected(): boolean {
    return this.#standing
  }

  on(): void {}

  async connect(): Promise<void> {
    await this.call((answer) => answer.ok(undefined))
    this.#standing = true
  }

  async close(): Promise<void> {
    this.#standing = false
  }

  async call<Result>(serve: (answer: Answer<Result>) => void): Promise<Result> {
    const { weather } = this.#log
    const latency = { thereMs: weather.latencyMs(), backMs: weather.latencyMs(), ordered: true }
    try {
      return await this.#process.call<Result>(this.#channel, latency, (answer) => {
        if (weather.logDown) answer.error(new Lost('The connection was refused.'))
        else if (weather.cutOff.has(this.#process.name)) answer.error(new Lost('No answer.'), this.#timeoutMs)
        else serve(answer)
      })
    } catch (error) {
      if (error instanceof Lost) this.#standing = false
      throw error
    }
  }
}

/** The connection broke. */
class Lost extends Error {}

/** As the library throws what a broker answered with an error code somewhere. */
class AnsweredError extends Error {
  readonly apiCode: number
  readonly response: unknown

  constructor(apiCode: number, response: unknown) {
    super(`The log answered with code ${apiCode}.`)
    this.apiCode = apiCode
    this.response = response
  }
}

interface TopicOffsets<Partition> {
  readonly name: string
  readonly partitions: readonly Partition[]
}

/** The arguments are those of the library's functions of the same names. */
function apis(log: SimLog, process: SimProcess) {
  const { coordinator } = log
  return {
    metadata(answer: Answer<unknown>, names: readonly string[]) {
      const topics = names.flatMap((name) => {
        const partitions = log.partitions(name)
        if (partitions === undefined) return []
        return {
          name,
          errorCode: 0,
          partitions: partitions.map((_, partitionIndex) => ({ partitionIndex, leaderId: NODE })),
        }
      })
      answer.ok({ brokers: [{ nodeId: NODE, host: 'log', port: 1 }], topics })
    },

    listOffsets(
      answer: Answer<unknown>,
      _replica: number,
      _isolation: number,
      topics: readonly TopicOffsets<{ readonly partitionIndex: number; readonly timestamp: bigint }>[],
    ) {
      answer.ok({
        topics: topics.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex, timestamp }) => {
            const partition = log.partitions(name)![partitionIndex]!
            return { partitionIndex, errorCode: 0, offset: BigInt(offsetAt(partition, timestamp)) }
          }),
        })),
      })
    },

    findCoordinator(answer: Answer<unknown>) {
      answer.ok({ coordinators: [{ errorCode: 0, nodeId: NODE }] })
    },

    join(
      answer: Answer<Joined>,
      group: string,
      sessionTimeoutMs: number,
      _rebalanceTimeoutMs: number,
      memberId: string,
      _instance: null,
      _type: string,
      protocols: readonly { readonly metadata: unknown }[],
    ) {
      const metadata = protocols[0]!.metadata
      coordinator.join({ process, group, sessionTimeoutMs, memberId, metadata }, (joined) => {
        if (joined.code !== GROUP_CODE.ok) return answer.error(new AnsweredError(joined.code, joined))
        answer.ok(Object.assign({ generationId: joined.generation }, joined))
      })
    },

    sync(
      answer: Answer<unknown>,
      group: string,
      generation: number,
      memberId: string,
      _instance: null,
      _type: string,
      _protocol: string,
      shares: readonly { readonly memberId: string; readonly assignment: Share }[],
    ) {
      const given = new Map(shares.map((one) => [one.memberId, placesOf(one.assignment)]))
      coordinator.sync(group, memberId, generation, given.size === 0 ? null : given, (code, share) => {
        if (code !== GROUP_CODE.ok) return answer.error(new AnsweredError(code, null))
        answer.ok({ assignment: shareOf(share) })
      })
    },

    heartbeat(answer: Answer<unknown>, group: string, generation: number, memberId: string) {
      const code = coordinator.heartbeat(group, memberId, generation)
      if (code === GROUP_CODE.ok) answer.ok({})
      else answer.error(new AnsweredError(code, null))
    },

    leave(answer: Answer<unknown>, group: string, members: readonly { readonly memberId: string }[]) {
      for (const { memberId } of members) coordinator.leave(group, memberId)
      answer.ok({})
    },

    commit(
      answer: Answer<unknown>,
      group: string,
      generation: number,
      memberId: string,
      _instance: null,
      topics: readonly TopicOffsets<{
        readonly partitionIndex: number
        readonly committedOffset: bigint
        readonly committedMetadata: string
      }>[],
    ) {
      let worst: number = GROUP_CODE.ok
      const answers = topics.map(({ name: topic, partitions }) => ({
        name: topic,
        partitions: partitions.map(({ partitionIndex: partition, committedOffset, committedMetadata: metadata }) => {
          const committed = { offset: Number(committedOffset), metadata }
          const errorCode = coordinator.commit(group, memberId, generation, { topic, partition }, committed)
          if (errorCode !== GROUP_CODE.ok) worst = errorCode
          return { partitionIndex: partition, errorCode }
        }),
      }))
      if (worst === GROUP_CODE.ok) answer.ok({ topics: answers })
      else answer.error(new AnsweredError(worst, { topics: answers }))
    },

    committed(
      answer: Answer<unknown>,
      groups: readonly {
        readonly groupId: string
        readonly topics: readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[]
      }[],
    ) {
      const { groupId, topics } = groups[0]!
      const found = topics.map(({ name: topic, partitionIndexes }) => ({
        name: topic,
        partitions: partitionIndexes.map((partition) => {
          const committed = coordinator.committed(groupId, { topic, partition })
          const [committedOffset, metadata] = [BigInt(committed?.offset ?? -1), committed?.metadata ?? null]
          return { partitionIndex: partition, committedOffset, metadata, errorCode: 0 }
        }),
      }))
      answer.ok({ groups: [{ topics: found }] })
    },
  }
}

const EARLIEST = -2n
const LATEST = -1n

function offsetAt(partition: SimPartition, timestamp: bigint): number {
  if (timestamp === EARLIEST) return 0
  return timestamp === LATEST ? partition.end : partition.firstAt(Number(timestamp))
}

interface Share {
  readonly assignedPartitions: readonly { readonly topic: string; readonly partitions: readonly number[] }[]
}

function placesOf({ assignedPartitions }: Share): PlacedPartition[] {
  return assignedPartitions.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
}

function shareOf(places: readonly PlacedPartition[]): Share {
  const topics = [...Map.groupBy(places, ({ topic }) => topic)]
  return {
    assignedPartitions: topics.map(([topic, own]) => ({ topic, partitions: own.map(({ partition }) => partition) })),
  }
}

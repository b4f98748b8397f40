import { ForebayError } from '@forebay/protocol'
import { ApplyLine, type KnownTasks, type PartitionPlace, type PartitionWriter, type Written } from '../apply-line.ts'
import type { FoldedEntries } from '../fold-entries.ts'
import type { StreamChange } from '../fold-outputs.ts'
import { Gathered } from '../gathered.ts'
import type { KeptOutputs, Outputs, OutputsRequest } from '../outputs.ts'
import type {
  ApplyReport,
  Claim,
  HeldClaim,
  RecordedBatch,
  Reservation,
  Settlement,
  Store,
  StoreCapabilities,
  StoredTask,
} from '../store.ts'
import { checkServer } from './check-server.ts'
import { Claims } from './claims.ts'
import { Connection, type Reply } from './connection.ts'
import { type RedisStoreOptions, type ResolvedRedisStore, resolveRedisStore } from './options.ts'
import { keptOutputs, knownOfTask, outputArguments } from './output-streams.ts'
import { APPLY, EXPIRY_MS_MAX, KNOWN, READ, READ_OUTPUTS, REBUILD } from './scripts.ts'
import { storedTask, taskArguments } from './task-hashes.ts'

/**
 * Results and reservations in Redis, common to all gateways; for results that are read soon and not kept for long. What
 * it cannot promise its capabilities say. A batch of the log and the position behind it are written by one script, so
 * what a crash of the server takes it takes of both, and the recorders read it again.
 */
export function redisStore(options: RedisStoreOptions): Store {
  return new RedisStore(resolveRedisStore(options))
}

class RedisStore implements Store, PartitionWriter {
  readonly capabilities: StoreCapabilities = {
    name: 'redis',
    shared: true,
    cannot: [
      'It parks no tasks: no delays, no schedules, no `onExhausted: park`; a long backoff waits in its partition.',
      'It keeps no callbacks: what a crash takes of them no log brings back, so a receiver that was promised a call might never be called.',
      'With `appendfsync everysec` a crash of the server takes up to a second of what it had acknowledged, and a failover to a replica what had not arrived there: results come again from the log, idempotency keys do not, and a repetition of such a request makes a second task.',
      'Without an append-only file a crash takes everything since the last snapshot, in the same way.',
      'All of it is in memory, on one server (no Redis Cluster); a full memory refuses further results until others expire.',
    ],
  }
  readonly outputs: Outputs = { read: (request) => this.#readOutputs(request) }
  readonly callbacks = null
  readonly parking = null
  readonly #options: ResolvedRedisStore
  #phase: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #running: RunningStore | null = null
  #closing: Promise<void> | null = null

  constructor(options: ResolvedRedisStore) {
    this.#options = options
  }

  async open(): Promise<void> {
    if (this.#phase !== 'new') throw new ForebayError('CLOSED', 'open: this store was opened before; make a new one.')
    this.#phase = 'opening'
    let connection: Connection
    try {
      connection = new Connection(this.#options)
      await connection.open()
      await checkServer(connection)
    } catch (error) {
      this.#phase = 'closed'
      throw error
    }
    this.#running = {
      connection,
      applies: new ApplyLine(this),
      reads: new Gathered({ ...READS, call: (taskIds) => this.#read(taskIds) }),
      claims: new Claims(connection, this.#options, () => this.#now()),
    }
    this.#phase = 'open'
  }

  async positions(topic: string): Promise<ReadonlyMap<number, number>> {
    const reply = (await this.#opened().connection.ask('HGETALL', this.#positionsKey(topic))) as readonly Buffer[]
    const positions = new Map<number, number>()
    for (let index = 0; index < reply.length; index += 2) positions.set(Number(reply[index]), Number(reply[index + 1]))
    return positions
  }

  async apply(batch: RecordedBatch): Promise<ApplyReport> {
    return this.#opened().applies.apply(batch)
  }

  async get(taskId: string): Promise<StoredTask | null> {
    return this.#opened().reads.ask(taskId)
  }

  async rebuild(topic: string): Promise<void> {
    const { connection } = this.#opened()
    const { prefix } = this.#options
    const keys = [this.#positionsKey(topic), this.#lifeKey]
    const over = (await connection.run(REBUILD, keys, [])) as number
    // Nobody reads these any more, and they would expire by themselves: this only gives their room back at once.
    let cursor = '0'
    do {
      const found = await connection.ask('SCAN', cursor, 'MATCH', `${prefix}${over}:*`, 'COUNT', '1000')
      const [next, names] = found as readonly [Buffer, readonly Buffer[]]
      if (names.length > 0) await connection.ask('UNLINK', ...names)
      cursor = next.toString()
    } while (cursor !== '0')
  }

  async reserve(claim: Claim): Promise<Reservation> {
    return this.#opened().claims.reserve(claim)
  }

  async confirm(claim: HeldClaim): Promise<Settlement> {
    return this.#opened().claims.settle('confirm', claim)
  }

  async release(claim: HeldClaim): Promise<Settlement> {
    return this.#opened().claims.settle('release', claim)
  }

  async doubt(claim: HeldClaim): Promise<void> {
    await this.#opened().claims.mark('doubt', claim)
  }

  async renew(claim: HeldClaim): Promise<void> {
    await this.#opened().claims.mark('renew', claim)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** For its ApplyLine, also while it closes. */
  async positionOf(topic: string, partition: number): Promise<number | null> {
    const reply = await this.#running!.connection.ask('HGET', this.#positionsKey(topic), String(partition))
    return reply === null ? null : Number(reply)
  }

  /** The same. */
  async known(topic: string, partition: number, taskIds: readonly string[]): Promise<KnownTasks> {
    const keys = [this.#positionsKey(topic), this.#lifeKey]
    const values = [String(partition), this.#options.prefix, ...taskIds]
    const [position, ...known] = (await this.#running!.connection.run(KNOWN, keys, values)) as readonly Reply[]
    return {
      position: position === null ? null : Number(position),
      tasks: new Map(taskIds.map((taskId, index) => [taskId, knownOfTask(known[index]!)])),
    }
  }

  /** The same. */
  async write(
    { topic, partition, expected, next }: PartitionPlace,
    folded: FoldedEntries,
    outputs: readonly StreamChange[],
  ): Promise<Written> {
    const { retentionMs, notesRetentionMs, prefix } = this.#options
    const retention = [retentionMs, notesRetentionMs].map((ms) => String(Math.min(ms, EXPIRY_MS_MAX)))
    const places = [partition, expected ?? '', next, this.#now(), ...retention].map(String)
    const said = outputArguments(outputs)
    const reply = (await this.#running!.connection.run(
      APPLY,
      [this.#positionsKey(topic), this.#lifeKey],
      [...places, prefix, String(FIRST_OUTPUT + said.length), ...said, ...taskArguments(folded)],
    )) as readonly [number, number | Buffer]
    const [applied, answer] = reply
    if (applied === 1) return { applied: true, resultsKept: answer as number }
    return { applied: false, position: answer.toString() === '' ? null : Number(answer) }
  }

  async #read(taskIds: readonly string[]): Promise<readonly (StoredTask | null)[]> {
    const { prefix } = this.#options
    const found = await this.#running!.connection.run(READ, [this.#lifeKey], [prefix, ...taskIds])
    return (found as readonly (readonly Buffer[])[]).map((fields, index) => storedTask(taskIds[index]!, fields))
  }

  async #readOutputs(request: OutputsRequest): Promise<KeptOutputs | null> {
    const values = [this.#options.prefix, request.taskId, String(request.after), String(request.bytesMax)]
    return keptOutputs(await this.#opened().connection.run(READ_OUTPUTS, [this.#lifeKey], values), request)
  }

  async #close(): Promise<void> {
    this.#phase = 'closed'
    if (this.#running === null) return
    const { connection, applies, reads, claims } = this.#running
    await Promise.all([applies.idle(), reads.idle(), claims.idle()])
    await claims.leave()
    await connection.close()
  }

  #positionsKey(topic: string): string {
    return `${this.#options.prefix}positions:${topic}`
  }

  get #lifeKey(): string {
    return `${this.#options.prefix}life`
  }

  /** Empty: the server's own clock. */
  #now(): string {
    const { serverNowMs } = this.#options
    return serverNowMs === null ? '' : String(serverNowMs())
  }

  #opened(): RunningStore {
    if (this.#phase !== 'open' || this.#running === null) {
      throw new ForebayError('CLOSED', `The store is ${this.#phase === 'closed' ? 'closed' : 'not open yet'}.`)
    }
    return this.#running
  }
}

/** Place of the values of outputs among those of APPLY. */
const FIRST_OUTPUT = 9
/** Results of a MiB may be among them. */
const READS = { groupMax: 64, callsMax: 4 } as const

interface RunningStore {
  readonly connection: Connection
  readonly applies: ApplyLine
  readonly reads: Gathered<string, StoredTask | null>
  readonly claims: Claims
}

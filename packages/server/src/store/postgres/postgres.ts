import { randomUUID } from 'node:crypto'
import { ForebayError } from '@forebay/protocol'
import { ApplyLine } from '../apply-line.ts'
import type { Callbacks } from '../callbacks.ts'
import { Gathered } from '../gathered.ts'
import type { Outputs } from '../outputs.ts'
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
import { type ClaimAct, type ClaimAnswer, claimCall } from './claims.ts'
import { Database } from './database.ts'
import { openDatabase } from './open-database.ts'
import { type PostgresStoreOptions, type ResolvedPostgresStore, resolvePostgresStore } from './options.ts'
import { readOutputs } from './output-rows.ts'
import { PartitionRows } from './partition-rows.ts'
import { PostgresCallbacks } from './postgres-callbacks.ts'
import { PostgresParking } from './postgres-parking.ts'
import { readTasks } from './read-tasks.ts'
import { Sweeper } from './sweeper.ts'

/**
 * Durable state in PostgreSQL, common to all gateways and dispatchers. What a call has resolved for survives whatever
 * the server's own flushes survive.
 *
 * While the server is away every call rejects with STORE_UNAVAILABLE within seconds, and what it was to do may have been
 * done; connections are made again by themselves.
 *
 * A claim that nobody has settled or renewed for `claimMs`, told by the server's clock, may be resumed by another request.
 */
export function postgresStore(options: PostgresStoreOptions): Store {
  return new PostgresStore(resolvePostgresStore(options))
}

class PostgresStore implements Store {
  readonly capabilities: StoreCapabilities = { name: 'postgres', shared: true, cannot: [] }
  readonly outputs: Outputs
  readonly callbacks: Callbacks
  readonly parking: PostgresParking
  readonly #options: ResolvedPostgresStore
  readonly #now: () => number | null
  /** Names this run of the process: its claims. */
  readonly #run = randomUUID()
  #phase: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #running: RunningStore | null = null
  #closing: Promise<void> | null = null

  constructor(options: ResolvedPostgresStore) {
    this.#options = options
    const { serverNowMs } = options
    this.#now = serverNowMs === null ? () => null : () => serverNowMs()
    this.outputs = { read: async (request) => readOutputs(this.#opened().database, options.schema, request) }
    this.callbacks = new PostgresCallbacks(() => this.#opened().database, options.schema, this.#now)
    this.parking = new PostgresParking(() => this.#opened().database, options.schema, this.#now)
  }

  async open(): Promise<void> {
    if (this.#phase !== 'new') throw new ForebayError('CLOSED', 'open: this store was opened before; make a new one.')
    this.#phase = 'opening'
    const { schema, url, connectionsMax } = this.#options
    let database: Database
    try {
      database = new Database(url, connectionsMax)
      await openDatabase(database, this.#options)
    } catch (error) {
      this.#phase = 'closed'
      throw error
    }
    const now = this.#now
    this.#running = {
      database,
      applies: new ApplyLine(new PartitionRows(database, schema, now)),
      reads: new Gathered({ ...READS, call: (taskIds) => readTasks(database, schema, taskIds) }),
      claims: new Gathered({ ...CLAIMS, call: claimCall(database, this.#options, this.#run, now) }),
      sweeper: new Sweeper(database, this.#options, now),
    }
    this.#phase = 'open'
  }

  async positions(topic: string): Promise<ReadonlyMap<number, number>> {
    const rows = await this.#opened().database.rows<{ partition: number; next: number }>(
      `SELECT partition, next FROM ${this.#options.schema}.positions WHERE topic = $1`,
      [topic],
    )
    return new Map(rows.map(({ partition, next }) => [partition, next]))
  }

  async apply(batch: RecordedBatch): Promise<ApplyReport> {
    return this.#opened().applies.apply(batch)
  }

  async get(taskId: string): Promise<StoredTask | null> {
    return this.#opened().reads.ask(taskId)
  }

  async rebuild(topic: string): Promise<void> {
    const { schema } = this.#options
    await this.#opened().database.rows(`SELECT ${schema}.rebuild($1)`, [topic])
  }

  async reserve(claim: Claim): Promise<Reservation> {
    return (await this.#opened().claims.ask({ act: 'reserve', claim })) as Reservation
  }

  async confirm(claim: HeldClaim): Promise<Settlement> {
    return (await this.#opened().claims.ask({ act: 'confirm', claim })) as Settlement
  }

  async release(claim: HeldClaim): Promise<Settlement> {
    return (await this.#opened().claims.ask({ act: 'release', claim })) as Settlement
  }

  async doubt(claim: HeldClaim): Promise<void> {
    await this.#opened().claims.ask({ act: 'doubt', claim })
  }

  async renew(claim: HeldClaim): Promise<void> {
    await this.#opened().claims.ask({ act: 'renew', claim })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#phase = 'closed'
    if (this.#running === null) return
    const { database, applies, reads, claims, sweeper } = this.#running
    await sweeper.stop()
    await Promise.all([applies.idle(), reads.idle(), claims.idle()])
    // Nobody of this run appends any more: whoever comes with one of its keys need not wait.
    await database
      .rows(`UPDATE ${this.#options.schema}.reservations SET claimed_at_ms = 0 WHERE claimed_by = $1 AND NOT kept`, [
        this.#run,
      ])
      .catch(() => {})
    await database.close()
  }

  #opened(): RunningStore {
    if (this.#phase !== 'open' || this.#running === null) {
      throw new ForebayError('CLOSED', `The store is ${this.#phase === 'closed' ? 'closed' : 'not open yet'}.`)
    }
    return this.#running
  }
}

/** Results of a MiB may be among them. */
const READS = { groupMax: 64, callsMax: 4 } as const
/** One call at a time: those that wait for its flush share the next. */
const CLAIMS = { groupMax: 256, callsMax: 1 } as const

interface RunningStore {
  readonly database: Database
  readonly applies: ApplyLine
  readonly reads: Gathered<string, StoredTask | null>
  readonly claims: Gathered<ClaimAct, ClaimAnswer>
  readonly sweeper: Sweeper
}

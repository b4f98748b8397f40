import {
  type Backoff,
  type Broker,
  backoffMs,
  type Clock,
  type Delivery,
  type LogRecord,
  type Random,
  type Subscription,
  type Timer,
} from '@forebay/broker'
import type { EdgeLog } from '../collector.ts'
import { openFileEngine } from './file-engine.ts'
import type { IncomingRow } from './parquet-writer.ts'
import { openPostgresEngine } from './postgres/postgres-engine.ts'

export interface LogStoreOptions extends KeepOptions {
  /** One store writes it at a time; any number of queries may read. */
  readonly dir: string
}

export interface PostgresLogStoreOptions extends KeepOptions {
  /** postgres://user:password@host:port/database; any number of stores may write it, of one consumer group. */
  readonly url: string
  /** Made where it is missing. Default 'forebay_logs'. */
  readonly schema?: string
}

interface KeepOptions {
  /** Rows go an hour at a time; of PostgreSQL, a day at a time. ms */
  readonly retentionMs: number
  /** Of everything together; above it the oldest hours, or days, go. */
  readonly bytesMax: number
  /** From the first row that waits until it is written and seen by queries. Default 500. ms */
  readonly writeEveryMs?: number
  /** Between two looks for files to merge or to remove. Default 10 s. ms */
  readonly tidyEveryMs?: number
}

export interface LogStoreParts {
  readonly options: LogStoreOptions | PostgresLogStoreOptions
  /** Open; stays the caller's. */
  readonly broker: Broker
  /** What each topic's records become; null for one that is no row. */
  readonly topics: ReadonlyMap<string, (record: LogRecord) => IncomingRow | null>
  readonly clock: Clock
  readonly random: Random
  readonly log: EdgeLog
  readonly meters?: LogStoreMeters
}

/** Counts of a store; whoever starts it turns them into metrics. */
export interface LogStoreMeters {
  /** New rows, on the disk; rows that had come before; ms it took. */
  written(rows: number, repeats: number, tookMs: number): void
}

/** The consumer group of a log store. */
export const LOGS_GROUP = 'forebay.logs'

/** Where rows are kept. */
export interface LogEngine {
  /** All of them or none, durable when it resolves: with how many were new. Called again with the same ones when it throws. */
  keep(rows: readonly IncomingRow[]): Promise<number>
  /** Merges, and removes what is too old or too much. */
  tidy(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Brings rows from the log to where they are kept, each row once; only then the position in the log moves on. */
export class LogStore {
  readonly #parts: LogStoreParts
  readonly #engine: LogEngine
  readonly #over = new AbortController()
  #subscription: Subscription | null = null
  #waiting: Delivery[] = []
  #timer: Timer | null = null
  #isDue = false
  #onDue: (() => void) | null = null
  #writing: Promise<void> = Promise.resolve()
  #loops: Promise<unknown> = Promise.resolve()
  #stopping: Promise<void> | null = null
  #failing: string | null = null

  private constructor(parts: LogStoreParts, engine: LogEngine) {
    this.#parts = parts
    this.#engine = engine
  }

  /** Throws DATA_IN_USE, DATA_CORRUPT, LOGS_UNAVAILABLE (no DuckDB here). */
  static async start(parts: LogStoreParts): Promise<LogStore> {
    const store = new LogStore(parts, await openEngine(parts))
    try {
      await store.#start()
      return store
    } catch (thrown) {
      await store.stop()
      throw thrown
    }
  }

  problems(): readonly string[] {
    return this.#failing === null ? [] : [`the log store cannot write (${this.#failing})`]
  }

  /** Writes what has been read, within the grace time; the rest comes again. Safe to call twice. */
  stop({ graceMs = STOP_GRACE_MS }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(graceMs)
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(): Promise<void> {
    const { broker, topics } = this.#parts
    this.#subscription = await broker.consume({
      topics: [...topics.keys()],
      group: LOGS_GROUP,
      windowRecords: WINDOW_RECORDS,
      windowBytes: WINDOW_BYTES,
    })
    this.#writing = this.#write()
    this.#loops = Promise.all([this.#read(this.#subscription), this.#tidy()])
  }

  async #read(subscription: Subscription): Promise<void> {
    const { clock, options, log } = this.#parts
    try {
      for await (const { deliveries } of subscription) {
        for (const delivery of deliveries) this.#waiting.push(delivery)
        if (this.#waiting.length >= WRITE_ROWS) this.#wake()
        else this.#timer ??= clock.timer(options.writeEveryMs ?? WRITE_EVERY_MS, () => this.#wake())
      }
    } catch (thrown) {
      log.warn({ err: thrown }, 'the log store reads no more')
      this.#failing = 'it reads no more'
    }
  }

  #wake(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#isDue = true
    this.#onDue?.()
    this.#onDue = null
  }

  async #write(): Promise<void> {
    for (;;) {
      if (!this.#isDue && !this.#over.signal.aborted) {
        await new Promise<void>((resolve) => {
          this.#onDue = resolve
        })
      }
      this.#isDue = false
      const deliveries = this.#waiting
      this.#waiting = []
      if (deliveries.length > 0) await this.#keep(deliveries)
      else if (this.#over.signal.aborted) return
    }
  }

  /** Until it is on the disk, or the store stops: then the log keeps it. */
  async #keep(deliveries: readonly Delivery[]): Promise<void> {
    const { clock, random, log } = this.#parts
    for (let failures = 0; ; failures++) {
      try {
        await this.#writeOnce(deliveries)
        if (this.#failing !== null) log.info({}, 'the log store writes again')
        this.#failing = null
        for (const delivery of deliveries) delivery.settle()
        return
      } catch (thrown) {
        if (this.#failing === null) log.warn({ err: thrown }, 'the log store cannot write; trying again')
        this.#failing = thrown instanceof Error ? thrown.message : String(thrown)
        if (this.#over.signal.aborted) return
        await clock.sleep(backoffMs(BACKOFF, failures, random), this.#over.signal).catch(() => {})
      }
    }
  }

  async #writeOnce(deliveries: readonly Delivery[]): Promise<void> {
    const { clock, topics, meters } = this.#parts
    const beganMs = clock.monotonicMs()
    const rows: IncomingRow[] = []
    for (const { record } of deliveries) {
      const row = topics.get(record.topic)?.(record) ?? null
      if (row !== null) rows.push(row)
    }
    const kept = rows.length === 0 ? 0 : await this.#engine.keep(rows)
    meters?.written(kept, deliveries.length - kept, clock.monotonicMs() - beganMs)
  }

  async #tidy(): Promise<void> {
    const { clock, options, log } = this.#parts
    const { signal } = this.#over
    while (!signal.aborted) {
      try {
        await this.#engine.tidy(signal)
      } catch (thrown) {
        if (!signal.aborted) log.warn({ err: thrown }, 'the log store cannot be tidied')
      }
      await clock.sleep(options.tidyEveryMs ?? TIDY_EVERY_MS, signal).catch(() => {})
    }
  }

  /** What waits is written first: closing the subscription commits what is settled by then. */
  async #stop(graceMs: number): Promise<void> {
    this.#over.abort(ENDED)
    this.#wake()
    const graceOver = new AbortController()
    await Promise.race([this.#writing, this.#parts.clock.sleep(graceMs, graceOver.signal).catch(() => {})])
    graceOver.abort()
    await this.#subscription?.close()
    await Promise.all([this.#writing, this.#loops])
    this.#timer?.cancel()
    await this.#engine.close()
  }
}

function openEngine({ options, clock }: LogStoreParts): Promise<LogEngine> {
  return 'url' in options ? openPostgresEngine(options, clock) : openFileEngine(options, clock)
}

const ENDED = new Error('The log store stops.')
const BACKOFF: Backoff = { firstMs: 100, maxMs: 5_000 }
const STOP_GRACE_MS = 10_000
const WRITE_EVERY_MS = 500
const TIDY_EVERY_MS = 10_000
/** Written at once although the time is not over: the window of one partition must not fill while it waits. */
const WRITE_ROWS = 10_000
const WINDOW_RECORDS = 20_000
const WINDOW_BYTES = 32 * 1024 * 1024

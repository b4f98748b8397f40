import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
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
import { openSqliteFile, type SqliteFile } from '@forebay/broker/embedded'
import type { EdgeLog } from '../collector.ts'
import { Catalogue } from './catalogue.ts'
import { Compaction } from './compaction.ts'
import { loadDuck, openDuck } from './duck.ts'
import { type IncomingRow, ParquetWriter, parquetFolder, parquetPath, temporaryFolder } from './parquet-writer.ts'
import { Sieve } from './sieve.ts'

export interface LogStoreOptions {
  /** One store writes it at a time; any number of queries may read. */
  readonly dir: string
  /** Rows go an hour at a time. ms */
  readonly retentionMs: number
  /** Of all files together; above it the oldest hours go. */
  readonly bytesMax: number
  /** From the first row that waits until it is written and seen by queries. Default 500. ms */
  readonly writeEveryMs?: number
  /** Between two looks for files to merge or to remove. Default 10 s. ms */
  readonly tidyEveryMs?: number
}

export interface LogStoreParts {
  readonly options: LogStoreOptions
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

/**
 * Keeps rows as Parquet files, each row once: files first, then one transaction that lists them with the places of their
 * rows, then the position in the log. What was written and not listed is swept away at the next start, and comes again.
 */
export class LogStore {
  readonly #parts: LogStoreParts
  readonly #hold: SqliteFile
  readonly #catalogue: Catalogue
  readonly #writer: ParquetWriter
  readonly #compaction: Compaction
  readonly #closeDuck: () => void
  readonly #sieve: Sieve
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

  private constructor(parts: LogStoreParts, made: Made) {
    this.#parts = parts
    this.#hold = made.hold
    this.#catalogue = made.catalogue
    this.#writer = made.writer
    this.#compaction = made.compaction
    this.#closeDuck = made.closeDuck
    this.#sieve = new Sieve(made.catalogue)
  }

  /** Throws DATA_IN_USE, DATA_CORRUPT, LOGS_UNAVAILABLE (no DuckDB here). */
  static async start(parts: LogStoreParts): Promise<LogStore> {
    const store = new LogStore(parts, await make(parts))
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
    const sifting = this.#sieve.begin()
    const rows: IncomingRow[] = []
    for (const { record } of deliveries) {
      const row = topics.get(record.topic)?.(record) ?? null
      if (row !== null && sifting.isNew(row)) rows.push(row)
    }
    if (rows.length > 0) {
      const files = await this.#writer.write(rows)
      try {
        this.#catalogue.add(files, sifting.taken, clock.wallMs())
      } catch (thrown) {
        for (const file of files) await rm(parquetPath(this.#parts.options.dir, file), { force: true })
        throw thrown
      }
    }
    sifting.commit()
    meters?.written(rows.length, deliveries.length - rows.length, clock.monotonicMs() - beganMs)
  }

  async #tidy(): Promise<void> {
    const { clock, options, log } = this.#parts
    const { signal } = this.#over
    while (!signal.aborted) {
      try {
        await this.#compaction.run(signal)
      } catch (thrown) {
        if (!signal.aborted) log.warn({ err: thrown }, 'files of the log store cannot be merged or removed')
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
    this.#closeDuck()
    this.#catalogue.close()
    this.#hold.close()
  }
}

interface Made {
  readonly hold: SqliteFile
  readonly catalogue: Catalogue
  readonly writer: ParquetWriter
  readonly compaction: Compaction
  readonly closeDuck: () => void
}

async function make({ options, clock }: LogStoreParts): Promise<Made> {
  const duck = await loadDuck()
  const { dir } = options
  const hold = openSqliteFile(join(dir, 'writer'))
  let catalogue: Catalogue | null = null
  try {
    catalogue = await Catalogue.open(cataloguePath(dir), 'write')
    await sweep(dir, catalogue)
    const { instance, connection } = await openDuck(duck, {
      threads: WRITER_THREADS,
      memoryBytes: WRITER_MEMORY_BYTES,
      spillDir: temporaryFolder(dir),
    })
    let id = catalogue.lastId
    const nextId = () => ++id
    const merging = await instance.connect()
    return {
      hold,
      catalogue,
      writer: new ParquetWriter(duck, connection, dir, nextId),
      compaction: new Compaction({ connection: merging, catalogue, options, clock, nextId }),
      closeDuck() {
        connection.closeSync()
        merging.closeSync()
        instance.closeSync()
      },
    }
  } catch (thrown) {
    catalogue?.close()
    hold.close()
    throw thrown
  }
}

export function cataloguePath(dir: string): string {
  return join(dir, 'catalogue.sqlite')
}

/** What a crash left: files that were being written, or that no list names. */
async function sweep(dir: string, catalogue: Catalogue): Promise<void> {
  await rm(temporaryFolder(dir), { recursive: true, force: true })
  await mkdir(temporaryFolder(dir), { recursive: true })
  await mkdir(parquetFolder(dir), { recursive: true })
  const known = new Set(catalogue.everyId())
  for (const entry of await readdir(parquetFolder(dir), { recursive: true, withFileTypes: true })) {
    const id = /^(\d+)\.parquet$/.exec(entry.name)?.[1]
    if (entry.isFile() && id !== undefined && !known.has(Number(id))) await rm(join(entry.parentPath, entry.name))
  }
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
const WRITER_THREADS = 2
const WRITER_MEMORY_BYTES = 512 * 1024 * 1024

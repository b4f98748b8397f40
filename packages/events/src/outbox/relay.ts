import { type Broker, backoffMs, PublishError, type RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { toRecord } from '@forebay/protocol/cloudevents'
import { topicsOf, useLog } from '../event-log.ts'
import type { OutboxMeters } from '../event-meters.ts'
import type { OutboxLag, OutboxRow } from './outbox-rows.ts'
import { RelayLease } from './relay-lease.ts'
import { type RelayOptions, type ResolvedRelay, resolveRelay } from './relay-options.ts'
import { RelayPause } from './relay-pause.ts'
import { eventOfRow } from './row-event.ts'

/**
 * Publishes what is in an outbox, at least once, with the ids that the events have there; of one topic and key in the order
 * of the outbox. Start as many as you like: one is at work, and another goes on when it ends or dies.
 */
export interface Relay extends AsyncDisposable {
  readonly counts: RelayCounts
  /** 'standby': another one is at work. */
  readonly state: 'standby' | 'active' | 'stopped'
  /** How far behind it is; asks the database. */
  lag(): Promise<OutboxLag>
  /** Finishes what is being published, lets go of the lease and closes what the relay opened. Safe to call twice. */
  stop(): Promise<void>
}

export interface RelayCounts {
  readonly published: number
  /** Rows that could not be published as they are; they say why in `refused`. */
  readonly refused: number
  /** Times that the database or the log failed, and it began again. */
  readonly failures: number
}

/** Rejects with CONFIG_INVALID, or as `Broker.open` does. A database that is away is waited for. */
export async function createRelay(options: RelayOptions): Promise<Relay> {
  const resolved = resolveRelay(options)
  const log = await useLog(options.broker, topicsOf(options.events, [], options))
  return new OutboxRelay(resolved, log)
}

class OutboxRelay implements Relay {
  readonly #options: ResolvedRelay
  readonly #log: { readonly broker: Broker; close(): Promise<void> }
  readonly #lease: RelayLease
  readonly #pause: RelayPause
  readonly #topics: ReadonlySet<string>
  readonly #counts = { published: 0, refused: 0, failures: 0 }
  readonly #meters: OutboxMeters
  readonly #running: Promise<void>
  /** In the log, and the database does not know it yet. */
  #unsettled: string[] = []
  #prunedMs = Number.NEGATIVE_INFINITY
  #lagToldMs = Number.NEGATIVE_INFINITY
  #stopping: Promise<void> | null = null

  constructor(options: ResolvedRelay, log: { readonly broker: Broker; close(): Promise<void> }) {
    const { outbox, clock, random, leaseMs } = options
    this.#options = options
    this.#log = log
    this.#meters = options.meters.outbox(outbox.name)
    this.#lease = new RelayLease(outbox, newOwner(random), leaseMs, clock)
    this.#pause = new RelayPause(options)
    this.#topics = new Set(options.events.map(({ topic }) => topic))
    this.#running = this.#run()
  }

  get counts(): RelayCounts {
    return { ...this.#counts }
  }

  get state(): Relay['state'] {
    if (this.#stopping !== null) return 'stopped'
    return this.#lease.held ? 'active' : 'standby'
  }

  lag(): Promise<OutboxLag> {
    return this.#options.outbox.lag(LAG_ROWS_MAX)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<void> {
    this.#pause.end()
    await this.#running
    await this.#pause.close()
    // Without the database the lease ends by itself.
    await this.#lease.release().catch(() => {})
    await this.#options.outbox.close()
    await this.#log.close()
  }

  async #run(): Promise<void> {
    const { log, random, outbox, leaseMs } = this.#options
    for (let failures = 0; !this.#pause.ended; ) {
      try {
        if (!this.#lease.held && !(await this.#lease.take())) {
          // Not what it saw when it was at work: another one tells of that now.
          this.#meters.lag(0, 0, 0)
          await this.#pause.sleep(Math.min(leaseMs / STANDBY_LOOKS, STANDBY_LOOK_MS_MAX))
          continue
        }
        const found = await this.#wave()
        failures = 0
        await this.#tend()
        if (found === 0) await this.#pause.idle()
        else await this.#pause.busy()
      } catch (error) {
        this.#counts.failures++
        this.#meters.failed()
        log.warn({ err: error, outbox: outbox.name }, 'The outbox cannot be published now; it is tried again.')
        await this.#pause.sleep(backoffMs(RETRY, failures++, random))
      }
    }
  }

  /** Says how many rows there were. Only one is under way: what the log does not take stays in the database. */
  async #wave(): Promise<number> {
    await this.#settle()
    const { outbox, waveRowsMax, waveBytesMax } = this.#options
    const rows = await outbox.pending(waveRowsMax, waveBytesMax)
    const sequences: string[] = []
    const records: RecordToPublish[] = []
    for (const row of rows) {
      const record = this.#recordOf(row)
      if (typeof record === 'string') {
        await this.#refuse(row, record)
      } else {
        sequences.push(row.sequence)
        records.push(record)
      }
    }
    if (records.length > 0) await this.#publish(rows, sequences, records)
    await this.#settle()
    return rows.length
  }

  async #publish(rows: readonly OutboxRow[], sequences: string[], records: readonly RecordToPublish[]): Promise<void> {
    try {
      await this.#log.broker.publish(records)
      this.#unsettled = sequences
      this.#published(records.length)
    } catch (error) {
      if (!(error instanceof PublishError)) throw error
      const failed = new Map(error.failed.map((one) => [one.index, one]))
      this.#unsettled = sequences.filter((_, index) => !failed.has(index))
      this.#published(this.#unsettled.length)
      let isTooLarge = true
      for (const { index, cause } of error.failed) {
        if (!isSize(cause)) isTooLarge = false
        else await this.#refuse(rows.find(({ sequence }) => sequence === sequences[index])!, String(cause))
      }
      if (isTooLarge) return
      await this.#settle()
      throw error
    }
  }

  #published(count: number): void {
    this.#counts.published += count
    this.#meters.published(count)
  }

  /** A sentence where it can never be published. */
  #recordOf(row: OutboxRow): RecordToPublish | string {
    if (!this.#topics.has(row.topic)) return `Its topic ${JSON.stringify(row.topic)} is none of the relay's events.`
    const event = eventOfRow(row)
    if (typeof event === 'string') return event
    const record = toRecord(event, row.topic)
    const bytes = bytesOf(record)
    const { recordBytesMax } = this.#log.broker.capabilities
    return bytes > recordBytesMax ? `It has ${bytes} bytes, and the log takes ${recordBytesMax}.` : record
  }

  async #refuse(row: OutboxRow, reason: string): Promise<void> {
    const { outbox, log } = this.#options
    await outbox.refuse(row.sequence, reason)
    this.#counts.refused++
    this.#meters.refused()
    log.error({ outbox: outbox.name, sequence: row.sequence, event: row.id, reason }, 'A row cannot be published.')
  }

  async #settle(): Promise<void> {
    if (this.#unsettled.length === 0) return
    await this.#options.outbox.settle(this.#unsettled, this.#options.rowRetentionMs > 0)
    this.#unsettled = []
  }

  /** Between two waves, from time to time. */
  async #tend(): Promise<void> {
    const { outbox, clock, rowRetentionMs, lagIntervalMs, onLag } = this.#options
    const nowMs = clock.monotonicMs()
    if (rowRetentionMs > 0 && nowMs - this.#prunedMs >= PRUNE_INTERVAL_MS) {
      const removed = await outbox.prune(rowRetentionMs, PRUNE_ROWS_MAX)
      // As long as there is more, with a wave between any two.
      if (removed < PRUNE_ROWS_MAX) this.#prunedMs = nowMs
    }
    if (nowMs - this.#lagToldMs < lagIntervalMs) return
    this.#lagToldMs = nowMs
    const lag = await outbox.lag(LAG_ROWS_MAX)
    this.#meters.lag(lag.rows, lag.oldestMs / 1000, lag.refused)
    onLag(lag)
  }
}

const RETRY = { firstMs: 100, maxMs: 5_000 }
/** Looks of a relay that waits for another's lease to end, in the time of one lease. */
const STANDBY_LOOKS = 4
const STANDBY_LOOK_MS_MAX = 1_000
const LAG_ROWS_MAX = 100_000
const PRUNE_INTERVAL_MS = 5_000
const PRUNE_ROWS_MAX = 1_000
/** Kafka's MESSAGE_TOO_LARGE and RECORD_LIST_TOO_LARGE: a topic may take less than the adapter knows. */
const SIZE_CODES: readonly unknown[] = [10, 18]

function isSize(cause: unknown): boolean {
  if (cause instanceof ForebayError) return cause.code === 'TASK_TOO_LARGE'
  return typeof cause === 'object' && cause !== null && 'kafkaCode' in cause && SIZE_CODES.includes(cause.kafkaCode)
}

function bytesOf({ key, value, headers }: RecordToPublish): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, text] of headers) bytes += name.length + text.length
  return bytes
}

function newOwner(random: ResolvedRelay['random']): string {
  const bytes = Buffer.alloc(OWNER_BYTES)
  random.fill(bytes)
  return bytes.toString('hex')
}
const OWNER_BYTES = 12

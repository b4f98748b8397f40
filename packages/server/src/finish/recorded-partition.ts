import { type Backoff, backoffMs, type Listener, type LogRecord, type Timer } from '@forebay/broker'
import { decodeReported } from '../records.ts'
import type { RecordedEntry } from '../store/store.ts'
import { RESULTS_TOPIC } from '../topics.ts'
import type { Recorder, RecorderParts } from './recorder.ts'

/**
 * One partition of the results topic: read, hand on, gather, apply. One apply at a time, so the order of the log is the
 * order of the store and nothing is passed over while an apply is tried again; what is read meanwhile goes together
 * in the next. As long as nobody waits for the store, results are gathered for `GATHER_MS`: a flush to disk costs more
 * than many rows.
 *
 * A store that says it is behind (a restored backup, a rebuild) is read to again from where it stands. What has been
 * heard is not told to be heard again.
 */
export class RecordedPartition {
  readonly #recorder: Recorder
  readonly #parts: RecorderParts
  readonly #partition: number
  readonly #stopping = new AbortController()
  #listener: Listener | null = null
  #running: Promise<unknown> = Promise.resolve()
  #startedAt = 0
  /** Results below were told to be heard, or had ended before the start. */
  #heardTo = 0
  /** Next offset to read; null before anything was ever read. */
  #read: number | null
  /** Where the store stands, as far as is known; null where it has nothing of this partition. */
  #stored: number | null
  /** What lies below is durable in the store, or gone from the log. */
  #applied: number
  /** Where to begin reading again, once the store has said that it stands below `#stored`. */
  #again: { readonly position: number | null } | null = null
  #pending: RecordedEntry[] = []
  #pendingBytes = 0
  #applying = false
  #gathering: Timer | null = null
  #room: (() => void) | null = null
  #undecodable = 0
  #doubted = false
  #readProblem: string | null = null
  #lossProblem: string | null = null
  #storeProblem: string | null = null
  readonly #barriers = new Set<Barrier>()

  constructor(recorder: Recorder, parts: RecorderParts, partition: number, position: number | null) {
    this.#recorder = recorder
    this.#parts = parts
    this.#partition = partition
    this.#read = position
    this.#applied = position ?? 0
    this.#stored = position
  }

  get startedAt(): number {
    return this.#startedAt
  }

  set startedAt(offset: number) {
    this.#startedAt = offset
    this.#heardTo = offset
  }

  async open(): Promise<void> {
    const wanted = this.#read
    const listener = await this.#parts.broker.listen({
      topic: RESULTS_TOPIC,
      partition: this.#partition,
      from: wanted ?? 'earliest',
    })
    this.#listener = listener
    if (wanted === null) this.#applied = listener.from
    this.#read = Math.max(wanted ?? 0, listener.from)
    if (this.#stopping.signal.aborted) await listener.close()
  }

  run(): void {
    // Retention may have removed records that were never read: the store's position passes them.
    void this.#apply()
    this.#running = this.#listen()
  }

  appliedTo(offset: number, withinMs: number): Promise<boolean> {
    if (this.#applied >= offset) return Promise.resolve(true)
    if (this.#stopping.signal.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const barrier = {
        offset,
        done: (reached: boolean) => {
          timer.cancel()
          this.#barriers.delete(barrier)
          resolve(reached)
        },
      }
      const timer = this.#parts.clock.timer(withinMs, () => barrier.done(false))
      this.#barriers.add(barrier)
      this.#applyNow()
    })
  }

  /** What somebody found the store to hold: it is asked itself whether it has lost what it was given. */
  doubt(position: number | null): void {
    if (this.#stored === null || (position !== null && position >= this.#stored)) return
    this.#doubted = true
    this.#applyNow()
  }

  problems(): readonly string[] {
    const behind = this.#startedAt - this.#applied
    const catchingUp =
      behind > 0 ? `${behind} results of partition ${this.#partition} from before the start are not stored yet` : null
    return [this.#readProblem, this.#lossProblem, this.#storeProblem, catchingUp].filter((one) => one !== null)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#room?.()
    await this.#listener?.close()
    await this.#running
    this.#gathering?.cancel()
    for (const barrier of this.#barriers) barrier.done(false)
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stopping
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        this.#beginAgain()
        if (this.#listener === null) await this.open()
        for await (const records of this.#again === null ? this.#listener! : NOTHING) {
          failures = 0
          this.#readProblem = null
          // What it was asked for before counts no more.
          if (this.#again !== null) break
          this.#take(records)
          await this.#untilRoom()
          if (signal.aborted) return
        }
      } catch (error) {
        if (signal.aborted) return
        this.#readProblem = `partition ${this.#partition} of ${RESULTS_TOPIC} cannot be read`
        this.#parts.telemetry.log.warn({ err: error, partition: this.#partition }, 'reading results failed; again')
      }
      await this.#listener?.close().catch(() => {})
      this.#listener = null
      if (this.#again === null) await this.#pause(failures)
    }
  }

  /** Whatever was read and is not stored is read again, too. */
  #beginAgain(): void {
    if (this.#again === null) return
    const { position } = this.#again
    this.#again = null
    this.#read = position
    this.#stored = position
    this.#applied = position ?? 0
    this.#pending = []
    this.#pendingBytes = 0
  }

  #take(records: readonly LogRecord[]): void {
    const { metrics } = this.#parts.telemetry
    let awaited = this.#barriers.size > 0
    for (const record of records) {
      if (record.offset < this.#read!) {
        this.#wentBack(record.offset)
        continue
      }
      this.#read = record.offset + 1
      const reported = decodeReported(record)
      if (reported === null) {
        metrics.undecodable.inc({ topic: RESULTS_TOPIC })
        this.#tellUndecodable(record)
        continue
      }
      if (reported.kind === 'result') {
        if (record.offset >= this.#heardTo) this.#recorder.onHeard(this.#partition, reported.result)
        awaited ||= this.#recorder.isAwaited(reported.result.taskId)
        this.#pending.push({ kind: 'result', offset: record.offset, result: reported.result })
      } else if (reported.kind === 'note') {
        awaited ||= this.#recorder.isAwaited(reported.note.taskId)
        this.#pending.push({ kind: 'note', offset: record.offset, note: reported.note })
      } else if (this.#parts.store.outputs !== null) {
        awaited ||= this.#recorder.isAwaited(reported.output.taskId)
        this.#pending.push({ kind: 'output', offset: record.offset, output: reported.output })
      }
      this.#pendingBytes += record.value?.length ?? 0
    }
    this.#heardTo = Math.max(this.#heardTo, this.#read!)
    const full = this.#pending.length >= GATHERED_MAX || this.#pendingBytes >= PENDING_BYTES_MAX
    if (awaited || full) this.#applyNow()
    else this.#gathering ??= this.#parts.clock.timer(GATHER_MS, () => this.#applyNow())
  }

  #applyNow(): void {
    this.#gathering?.cancel()
    this.#gathering = null
    void this.#apply()
  }

  async #apply(): Promise<void> {
    if (this.#applying) return
    this.#applying = true
    while (this.#mayApply()) {
      const entries = this.#pending
      const next = this.#read!
      this.#pending = []
      this.#pendingBytes = 0
      this.#doubted = false
      this.#room?.()
      if (await this.#store(next, entries)) this.#advance(next, entries)
    }
    this.#applying = false
  }

  #mayApply(): boolean {
    if (this.#stopping.signal.aborted || this.#again !== null || this.#read === null) return false
    return this.#applied < this.#read || this.#doubted
  }

  /** Tries for ever: a result that is passed over would be lost. False when the process stops, or reads again. */
  async #store(next: number, entries: readonly RecordedEntry[]): Promise<boolean> {
    const { store, telemetry } = this.#parts
    for (let failures = 0; !this.#stopping.signal.aborted; failures++) {
      try {
        const batch = { topic: RESULTS_TOPIC, partition: this.#partition, from: this.#stored, next, entries }
        const report = await store.apply(batch)
        this.#storeProblem = null
        if (report.kind === 'behind') {
          this.#fellBehind(report.position)
          return false
        }
        if (report.duplicates > 0) telemetry.metrics.duplicateResults.inc(report.duplicates)
        return true
      } catch (error) {
        if (this.#stopping.signal.aborted) return false
        this.#storeProblem = `the store does not take the results of partition ${this.#partition}`
        telemetry.log.error({ err: error, partition: this.#partition }, 'storing results failed; trying again')
        await this.#pause(failures)
      }
    }
    return false
  }

  /** The listener ends, and whoever reads from it begins again. */
  #fellBehind(position: number | null): void {
    const facts = { topic: RESULTS_TOPIC, partition: this.#partition, stored: this.#stored, position }
    this.#parts.telemetry.log.warn(facts, 'the store has lost results that it had; reading them again')
    this.#again = { position }
    this.#applied = position ?? 0
    this.#room?.()
    void this.#listener?.close().catch(() => {})
  }

  #advance(next: number, entries: readonly RecordedEntry[]): void {
    this.#applied = next
    this.#stored = next
    for (const barrier of this.#barriers) if (barrier.offset <= next) barrier.done(true)
    for (const entry of entries) this.#recorder.onStored(entry)
  }

  /** Holds reading back while the store has more than enough to do. */
  #untilRoom(): Promise<void> {
    if (this.#pending.length < PENDING_MAX && this.#pendingBytes < PENDING_BYTES_MAX) return Promise.resolve()
    return new Promise((resolve) => {
      this.#room = () => {
        this.#room = null
        resolve()
      }
    })
  }

  #tellUndecodable({ offset }: LogRecord): void {
    if (this.#undecodable++ % UNDECODABLE_LOGGED_EVERY !== 0) return
    const facts = { topic: RESULTS_TOPIC, partition: this.#partition, offset, soFar: this.#undecodable }
    this.#parts.telemetry.log.warn(facts, 'a record of the results topic is none of ours; passed over')
  }

  /** A log that lost its end writes other records under offsets that were read: the store takes none of them. */
  #wentBack(offset: number): void {
    if (this.#lossProblem !== null) return
    this.#lossProblem = `partition ${this.#partition} of ${RESULTS_TOPIC} went back from ${this.#read} to ${offset}; move the store's file away and restart`
    const facts = { topic: RESULTS_TOPIC, partition: this.#partition, read: this.#read, offset }
    this.#parts.telemetry.log.error(facts, 'the log went back: it has lost records that were read')
  }

  #pause(failures: number): Promise<void> {
    const { clock, random } = this.#parts
    return clock.sleep(backoffMs(RETRY, failures, random), this.#stopping.signal).catch(() => {})
  }
}

const NOTHING: readonly (readonly LogRecord[])[] = []
/** How long results may be gathered before they are stored. ms */
const GATHER_MS = 50
/** As many are stored at once. */
const GATHERED_MAX = 2_000
/** Most results of one partition that wait for the store. */
const PENDING_MAX = 2_000
/** Bytes of payloads among them. */
const PENDING_BYTES_MAX = 4 * 1024 * 1024
const RETRY: Backoff = { firstMs: 100, maxMs: 5_000 }
const UNDECODABLE_LOGGED_EVERY = 1_000

interface Barrier {
  readonly offset: number
  readonly done: (reached: boolean) => void
}

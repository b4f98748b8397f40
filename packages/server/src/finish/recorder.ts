import type { Broker, Clock, Listener, LogRecord, Random } from '@forebay/broker'
import type { Running, StopReport } from '../lifecycle.ts'
import { decodeReported } from '../records.ts'
import type { RecordedEntry, Store } from '../store/store.ts'
import type { Result } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import { RESULTS_TOPIC } from '../topics.ts'

/**
 * Keeps the results topic in the store. A store that is not shared belongs to one process, so its recorder reads every
 * partition from the store's own positions, without a group: a group would give each process only a part of the answers.
 */
export interface Recorder extends Running {
  /** Resolves when every partition is being heard; to be called once, after `onHeard` and `onStored` are set. */
  start(): Promise<void>
  /** Set by whoever waits for results: called with each result as it is read, in log order, before the store has it. */
  onHeard: (partition: number, result: Result) => void
  /** Called once the store has durably applied what is known of the task. */
  onStored: (taskId: string) => void
  /** Position from which on a partition was unread when `start` resolved. */
  startedAt(partition: number): number
  /** Resolves when the store has applied everything below `offset`; false when that took longer than `withinMs`. */
  appliedTo(partition: number, offset: number, withinMs: number): Promise<boolean>
  /** Why the store is behind, one line each; empty while all is well. */
  problems(): readonly string[]
}

export interface RecorderParts {
  readonly broker: Broker
  readonly store: Store
  /** Of the results topic. */
  readonly partitions: number
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

export function createRecorder(parts: RecorderParts): Recorder {
  return new LogRecorder(parts)
}

/** Most results of one partition that wait for the store. */
const PENDING_MAX = 10_000
/** Bytes of payloads among them. */
const PENDING_BYTES_MAX = 16 * 1024 * 1024
const RETRY_MS = 100
const RETRY_MAX_MS = 5_000

class LogRecorder implements Recorder {
  readonly stopped: Promise<StopReport>
  onHeard: Recorder['onHeard'] = () => {}
  onStored: Recorder['onStored'] = () => {}
  readonly #parts: RecorderParts
  readonly #lines: PartitionLine[] = []
  #stopping: Promise<StopReport> | null = null
  #resolveStopped: (report: StopReport) => void = () => {}

  constructor(parts: RecorderParts) {
    this.#parts = parts
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  async start(): Promise<void> {
    const positions = await this.#parts.store.positions(RESULTS_TOPIC)
    for (let partition = 0; partition < this.#parts.partitions; partition++) {
      this.#lines.push(new PartitionLine(this, this.#parts, partition, positions.get(partition) ?? null))
    }
    await Promise.all(this.#lines.map((line) => line.open()))
    const states = await this.#parts.broker.inspect({ topics: [RESULTS_TOPIC] })
    for (const { partition, end } of states) {
      const line = this.#lines[partition]
      if (line !== undefined) line.startedAt = end
    }
    for (const line of this.#lines) line.run()
  }

  startedAt(partition: number): number {
    return this.#lines[partition]?.startedAt ?? 0
  }

  appliedTo(partition: number, offset: number, withinMs: number): Promise<boolean> {
    const line = this.#lines[partition]
    return line === undefined ? Promise.resolve(true) : line.appliedTo(offset, withinMs)
  }

  problems(): readonly string[] {
    return this.#lines.flatMap((line) => line.problem ?? [])
  }

  stop(): Promise<StopReport> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<StopReport> {
    await Promise.all(this.#lines.map((line) => line.stop()))
    const report = { left: [] }
    this.#resolveStopped(report)
    return report
  }
}

/** One partition: read, hand on, pack, apply; one apply at a time, so the order of the log is the order of the store. */
class PartitionLine {
  startedAt = 0
  problem: string | null = null
  readonly #recorder: Recorder
  readonly #parts: RecorderParts
  readonly #partition: number
  readonly #stop = new AbortController()
  #listener: Listener | null = null
  #running: Promise<unknown> = Promise.resolve()
  /** Next offset to read; null before anything was ever read. */
  #read: number | null
  #applied = 0
  #pending: RecordedEntry[] = []
  #pendingBytes = 0
  #applying = false
  #room: (() => void) | null = null
  readonly #barriers = new Set<{ offset: number; done: (reached: boolean) => void }>()

  constructor(recorder: Recorder, parts: RecorderParts, partition: number, position: number | null) {
    this.#recorder = recorder
    this.#parts = parts
    this.#partition = partition
    this.#read = position
  }

  async open(): Promise<void> {
    const { broker } = this.#parts
    this.#listener = await broker.listen({
      topic: RESULTS_TOPIC,
      partition: this.#partition,
      from: this.#read ?? 'earliest',
    })
    this.#read = this.#listener.from
    this.#applied = Math.max(this.#applied, this.#read)
  }

  run(): void {
    this.#running = this.#listen()
  }

  appliedTo(offset: number, withinMs: number): Promise<boolean> {
    if (this.#applied >= offset) return Promise.resolve(true)
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
    })
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#room?.()
    await this.#listener?.close()
    await this.#running
    for (const barrier of this.#barriers) barrier.done(false)
  }

  async #listen(): Promise<void> {
    const { telemetry } = this.#parts
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      try {
        if (this.#listener === null) await this.open()
        for await (const records of this.#listener!) {
          failures = 0
          this.problem = null
          this.#take(records)
          await this.#untilRoom()
          if (this.#stop.signal.aborted) return
        }
      } catch (error) {
        if (this.#stop.signal.aborted) return
        this.problem = `partition ${this.#partition} of ${RESULTS_TOPIC} cannot be read`
        telemetry.log.warn({ err: error, partition: this.#partition }, 'reading results failed; reading again')
      }
      await this.#listener?.close().catch(() => {})
      this.#listener = null
      await this.#pause(failures)
    }
  }

  #take(records: readonly LogRecord[]): void {
    const { metrics } = this.#parts.telemetry
    for (const record of records) {
      this.#read = record.offset + 1
      const reported = decodeReported(record)
      if (reported === null) {
        metrics.undecodable.inc({ topic: RESULTS_TOPIC })
        continue
      }
      if (reported.kind === 'result') {
        if (record.offset >= this.startedAt) this.#recorder.onHeard(this.#partition, reported.result)
        this.#pending.push({ kind: 'result', offset: record.offset, result: reported.result })
      } else this.#pending.push({ kind: 'note', offset: record.offset, note: reported.note })
      this.#pendingBytes += record.value?.length ?? 0
    }
    if (!this.#applying) void this.#apply()
  }

  async #apply(): Promise<void> {
    const { store, telemetry } = this.#parts
    this.#applying = true
    while (this.#applied < this.#read! && !this.#stop.signal.aborted) {
      const entries = this.#pending
      const next = this.#read!
      this.#pending = []
      this.#pendingBytes = 0
      this.#room?.()
      const batch = { topic: RESULTS_TOPIC, partition: this.#partition, next, entries }
      for (let failures = 0; !this.#stop.signal.aborted; failures++) {
        try {
          const { duplicates } = await store.apply(batch)
          if (duplicates > 0) telemetry.metrics.duplicateResults.inc(duplicates)
          this.problem = null
          this.#advance(next, entries)
          break
        } catch (error) {
          if (this.#stop.signal.aborted) break
          this.problem = `the store does not take the results of partition ${this.#partition}`
          telemetry.log.error({ err: error, partition: this.#partition }, 'storing results failed; trying again')
          await this.#pause(failures)
        }
      }
    }
    this.#applying = false
  }

  #advance(next: number, entries: readonly RecordedEntry[]): void {
    this.#applied = next
    for (const barrier of this.#barriers) if (barrier.offset <= next) barrier.done(true)
    for (const entry of entries) if (entry.kind === 'result') this.#recorder.onStored(entry.result.taskId)
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

  #pause(failures: number): Promise<void> {
    const { clock, random } = this.#parts
    const stepMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(failures, 16))
    return clock.sleep(random.unit() * stepMs, this.#stop.signal).catch(() => {})
  }
}

import type { RecordToPublish, Timer } from '@forebay/broker'
import { outputRecord } from '../records.ts'
import { type Output, type OutputSink, PROGRESS_EVERY_MS, type Task } from '../task.ts'
import { type KeepRecords, OUTPUTS, type RecordKeeperParts, recordKeeper } from './keep-records.ts'

/**
 * What one attempt says while it runs, on its way to the task's lane: one publish at a time, so that the lane has the
 * order of the worker, and tried for as long as the attempt is this process's. What comes while one is under way goes
 * together in the next. Most attempts say nothing, and cost nothing here.
 */
export class AttemptOutput implements OutputSink {
  readonly #parts: RecordKeeperParts
  readonly #task: Task
  readonly #attempt: number
  readonly #lost: AbortSignal
  #stream: OutputStream | null = null
  #over = false

  constructor(parts: RecordKeeperParts, task: Task, attempt: number, lost: AbortSignal) {
    this.#parts = parts
    this.#task = task
    this.#attempt = attempt
    this.#lost = lost
  }

  chunk(payload: Uint8Array, contentType: string): Promise<boolean> {
    return this.#mayTake() ? this.#open().chunk(payload, contentType) : Promise.resolve(false)
  }

  progress(fraction: number | null, message: string): void {
    if (this.#mayTake()) this.#open().progress(fraction, message)
  }

  /**
   * Takes nothing more. Null when the attempt has said nothing; else resolves once all of it is durable or no longer
   * matters: only then may its result be published, which comes after it on the lane.
   */
  end(): Promise<void> | null {
    this.#over = true
    return this.#stream === null ? null : this.#stream.end()
  }

  #mayTake(): boolean {
    return !this.#over && !this.#lost.aborted
  }

  #open(): OutputStream {
    this.#stream ??= new OutputStream(this.#parts, this.#task, this.#attempt, this.#lost)
    return this.#stream
  }
}

class OutputStream {
  readonly #parts: RecordKeeperParts
  readonly #task: Task
  readonly #attempt: number
  readonly #lost: AbortSignal
  readonly #keep: KeepRecords
  readonly #run: string
  #chunks = 0
  #first = true
  #waiting: Waiting[] = []
  #publishing: Promise<void> | null = null
  #progress: { readonly fraction: number | null; readonly message: string } | null = null
  #progressTimer: Timer | null = null
  #progressToldMs = Number.NEGATIVE_INFINITY

  constructor(parts: RecordKeeperParts, task: Task, attempt: number, lost: AbortSignal) {
    this.#parts = parts
    this.#task = task
    this.#attempt = attempt
    this.#lost = lost
    this.#keep = recordKeeper(parts, OUTPUTS)
    const bytes = Buffer.alloc(8)
    parts.random.fill(bytes)
    this.#run = bytes.toString('hex')
  }

  chunk(payload: Uint8Array, contentType: string): Promise<boolean> {
    this.#chunks++
    const record = this.#record({ kind: 'chunk', payload, contentType })
    return new Promise((resolve) => {
      this.#waiting.push({ record, resolve })
      this.#publishing ??= this.#publishAll()
    })
  }

  progress(fraction: number | null, message: string): void {
    this.#progress = { fraction, message }
    const waitMs = this.#progressToldMs + PROGRESS_EVERY_MS - this.#parts.clock.monotonicMs()
    if (waitMs <= 0) this.#tellProgress()
    else this.#progressTimer ??= this.#parts.clock.timer(waitMs, () => this.#tellProgress())
  }

  /** A progress that was not told yet is told no more: the end says it better. */
  end(): Promise<void> {
    this.#progressTimer?.cancel()
    this.#progress = null
    return this.#publishing ?? Promise.resolve()
  }

  #tellProgress(): void {
    this.#progressTimer?.cancel()
    this.#progressTimer = null
    if (this.#progress === null) return
    const record = this.#record({ kind: 'progress', ...this.#progress })
    this.#progress = null
    this.#progressToldMs = this.#parts.clock.monotonicMs()
    this.#waiting.push({ record, resolve: () => {} })
    this.#publishing ??= this.#publishAll()
  }

  #record(content: Output['content']): RecordToPublish {
    const { id: taskId, queue, owner, generation, lane } = this.#task
    const first = this.#first
    this.#first = false
    const said = { run: this.#run, first, chunks: this.#chunks, atMs: this.#parts.clock.wallMs(), content }
    return outputRecord({ taskId, queue, owner, attempts: this.#attempt, generation, ...said }, lane)
  }

  async #publishAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const records = batch.map(({ record }) => record)
      const over = this.#lost.aborted || this.#parts.closed.aborted
      const kept = !over && (await this.#keep(records, this.#task.id, this.#lost))
      for (const { resolve } of batch) resolve(kept)
    }
    this.#publishing = null
  }
}

interface Waiting {
  readonly record: RecordToPublish
  resolve(kept: boolean): void
}

import {
  type Backoff,
  type Broker,
  backoffMs,
  type Clock,
  PublishError,
  type Random,
  type RecordToPublish,
  type Timer,
} from '@forebay/broker'
import type { Logger } from 'pino'
import { outputRecord } from '../records.ts'
import { type Output, type OutputSink, PROGRESS_EVERY_MS, type Task } from '../task.ts'

export interface AttemptOutputParts {
  readonly broker: Pick<Broker, 'publish'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Aborts when this process lets go of what is not durable. */
  readonly closed: AbortSignal
}

/**
 * What one attempt says while it runs, on its way to the task's lane: one publish at a time, so that the lane has the
 * order of the worker, and tried for as long as the attempt is this process's. What comes while one is under way goes
 * together in the next. Most attempts say nothing, and cost nothing here.
 */
export class AttemptOutput implements OutputSink {
  readonly #parts: AttemptOutputParts
  readonly #task: Task
  readonly #attempt: number
  readonly #lost: AbortSignal
  #stream: OutputStream | null = null
  #over = false

  constructor(parts: AttemptOutputParts, task: Task, attempt: number, lost: AbortSignal) {
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
  readonly #parts: AttemptOutputParts
  readonly #task: Task
  readonly #attempt: number
  readonly #ended: AbortSignal
  readonly #run: string
  #chunks = 0
  #first = true
  #waiting: Waiting[] = []
  #publishing: Promise<void> | null = null
  #progress: { readonly fraction: number | null; readonly message: string } | null = null
  #progressTimer: Timer | null = null
  #progressToldMs = Number.NEGATIVE_INFINITY

  constructor(parts: AttemptOutputParts, task: Task, attempt: number, lost: AbortSignal) {
    this.#parts = parts
    this.#task = task
    this.#attempt = attempt
    this.#ended = AbortSignal.any([lost, parts.closed])
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
      const kept = await this.#keep(batch.map(({ record }) => record))
      for (const { resolve } of batch) resolve(kept)
    }
    this.#publishing = null
  }

  async #keep(records: readonly RecordToPublish[]): Promise<boolean> {
    const { broker, clock, random, log } = this.#parts
    let missing = records
    for (let tries = 1; !this.#ended.aborted; tries++) {
      try {
        await broker.publish(missing)
        return true
      } catch (error) {
        if (tries === 1)
          log.warn({ err: error, task: this.#task.id }, 'partial output is not in the log yet; trying on')
        missing = fromFirstFailed(missing, error)
        await clock.sleep(backoffMs(RETRY, tries, random), this.#ended).catch(() => {})
      }
    }
    return false
  }
}

interface Waiting {
  readonly record: RecordToPublish
  resolve(kept: boolean): void
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

/** All that follows goes again too: readers drop what comes twice, but a gap they could not mend. */
function fromFirstFailed(records: readonly RecordToPublish[], error: unknown): readonly RecordToPublish[] {
  if (!(error instanceof PublishError) || error.failed.length === 0) return records
  return records.slice(Math.min(...error.failed.map((one) => one.index)))
}

import { backoffMs, type Timer } from '@forebay/broker'
import { type ResolvedWorkerOptions, resolveWorkerOptions, type WorkerOptions } from './options.ts'
import { Session } from './session.ts'
import { type SlotShare, Slots } from './slots.ts'

export type { Body, TypedBody } from '../body.ts'
export { type AbortWhy, AttemptAborted, DeadError, FinalError, RetryError } from './errors.ts'
export type { WorkerEvent } from './events.ts'
export type { WorkerOptions, WorkerTls } from './options.ts'
export type { AttemptContext, Handler, Task } from './task.ts'

/** Serves queues until it is stopped. Leaving an `await using` block stops it. */
export interface Worker extends AsyncDisposable {
  /**
   * Two stages: takes no more tasks and finishes those it has; after `graceMs` (default 10,000) aborts the rest, hands
   * them back and names them. A second call with a smaller grace shortens the first.
   */
  stop(options?: { readonly graceMs?: number }): Promise<StopReport>
  /** Resolves when it has stopped. */
  readonly stopped: Promise<StopReport>
}

export interface StopReport {
  /** Handlers that still ran when the grace time was over, one line each; empty after a clean stop. */
  readonly left: readonly string[]
}

/**
 * Dials in and serves its queues from now on, through lost connections and restarted servers, for as long as it takes.
 * Throws a ForebayError CONFIG_INVALID when an option is wrong.
 */
export function createWorker(options: WorkerOptions): Worker {
  return new DialingWorker(resolveWorkerOptions(options))
}

class DialingWorker implements Worker {
  readonly stopped: Promise<StopReport>
  readonly #options: ResolvedWorkerOptions
  readonly #slots: Slots
  /** Of each server the last takes tasks; others finish what they have. */
  readonly #sessions = new Set<Session>()
  readonly #stopping = new AbortController()
  readonly #graceOver = Promise.withResolvers<void>()
  #stopByMs = Number.POSITIVE_INFINITY
  #graceTimer: Timer | null = null
  /** Nothing is left to finish or to abort. */
  #done = false

  constructor(options: ResolvedWorkerOptions) {
    this.#options = options
    this.#slots = new Slots(options.concurrency)
    this.stopped = this.#serve()
  }

  stop({ graceMs = STOP_GRACE_MS_DEFAULT }: { readonly graceMs?: number } = {}): Promise<StopReport> {
    // A stop after the end must leave no timer behind.
    if (!this.#done) this.#shortenGrace(graceMs)
    this.#stopping.abort()
    for (const session of this.#sessions) session.leave()
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #serve(): Promise<StopReport> {
    const { addresses, sessions } = this.#options
    if (sessions === 'first' || addresses.length === 1) await this.#keepDialing(addresses, this.#slots.share(true))
    else await Promise.all(addresses.map((address) => this.#keepDialing([address], this.#slots.share(false))))
    await Promise.race([Promise.all([this.#sessionsEnded(), this.#slots.idle()]), this.#graceOver.promise])
    this.#done = true
    this.#graceTimer?.cancel()
    const left = [...this.#slots.running].map(
      ({ task }) => `${task.queue}: task ${task.id}, attempt ${task.attempt}, was still running`,
    )
    for (const run of this.#slots.running) run.abort('stopping')
    for (const session of this.#sessions) session.abandon()
    await this.#sessionsEnded()
    return { left }
  }

  async #keepDialing(addresses: readonly string[], share: SlotShare): Promise<void> {
    const { random } = this.#options
    const stopping = this.#stopping.signal
    // Workers that start together should not all begin with the same server.
    let turn = Math.floor(random.unit() * addresses.length)
    let failures = 0
    while (!stopping.aborted) {
      const session = new Session(addresses[turn++ % addresses.length]!, this.#options, share)
      this.#sessions.add(session)
      void session.ended.then(() => this.#sessions.delete(session))
      const livedMs = await session.left
      if (session.isReplaced) continue
      failures = livedMs >= STEADY_MS ? 1 : failures + 1
      await this.#options.clock.sleep(this.#redialMs(failures, addresses.length), stopping).catch(() => {})
    }
  }

  /** The other addresses are tried at once; after each round of all there is a pause. */
  #redialMs(failures: number, addresses: number): number {
    if (failures % addresses !== 0) return 0
    return backoffMs(REDIAL, failures / addresses - 1, this.#options.random)
  }

  async #sessionsEnded(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.ended))
  }

  #shortenGrace(graceMs: number): void {
    const { clock } = this.#options
    const byMs = clock.monotonicMs() + graceMs
    if (byMs >= this.#stopByMs) return
    this.#stopByMs = byMs
    this.#graceTimer?.cancel()
    this.#graceTimer = clock.timer(graceMs, () => this.#graceOver.resolve())
  }
}

const STOP_GRACE_MS_DEFAULT = 10_000
const REDIAL = { firstMs: 250, maxMs: 10_000 }
/** A session that lived this long was no failure: the next one is dialed without long pauses. */
const STEADY_MS = 5_000

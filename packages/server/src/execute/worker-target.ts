import type { Clock } from '@forebay/broker'
import type { Attempt, Outcome } from '../task.ts'
import { OpenAttempts, outcomeOfCut } from './open-attempts.ts'
import type { Target } from './target.ts'

/** A worker's session, as far as targets use it. */
export interface AttemptTaker {
  /** Attempts more that it takes right now. */
  readonly spendable: number
  /** Call only while `spendable` is above 0. */
  hand(attempt: Attempt, target: WorkerTarget, resolve: (outcome: Outcome) => void): void
}

/** The target of one queue that workers serve: spreads its attempts over the sessions that asked for it. */
export class WorkerTarget implements Target {
  readonly queue: string
  readonly open: OpenAttempts
  onCapacity: () => void = () => {}
  readonly #sessions: AttemptTaker[] = []
  #next = 0
  #spendable = 0
  #stopping = false

  constructor(queue: string, clock: Clock) {
    this.queue = queue
    this.open = new OpenAttempts(clock)
  }

  /** Credits of the sessions that can take something now. A session's credits count for each of its queues. */
  get capacity(): number {
    return this.#stopping ? 0 : this.#spendable
  }

  run(attempt: Attempt): Promise<Outcome> {
    if (attempt.lost.aborted) return Promise.resolve(outcomeOfCut('assignment-lost', ''))
    const session = this.#pick()
    if (session === null) return Promise.resolve(this.#nobody())
    return new Promise((resolve) => session.hand(attempt, this, resolve))
  }

  cancel(attempt: Attempt): void {
    this.open.cancel(attempt)
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    return this.open.stop(signal)
  }

  join(session: AttemptTaker): void {
    this.#sessions.push(session)
  }

  leave(session: AttemptTaker): void {
    const index = this.#sessions.indexOf(session)
    if (index !== -1) this.#sessions.splice(index, 1)
  }

  /** A session of this queue has so many spendable credits more, or fewer. */
  spendableChanged(delta: number): void {
    this.#spendable += delta
  }

  /** In turn, passing over those without credits: a slow worker runs out of them by itself. */
  #pick(): AttemptTaker | null {
    if (this.capacity <= 0) return null
    for (let tried = 0; tried < this.#sessions.length; tried++) {
      this.#next = (this.#next + 1) % this.#sessions.length
      const session = this.#sessions[this.#next]!
      if (session.spendable > 0) return session
    }
    return null
  }

  #nobody(): Outcome {
    const message = this.#stopping
      ? 'This server is about to stop.'
      : `No worker of queue '${this.queue}' is free to take the task.`
    return { kind: 'failed', code: 'TARGET_UNAVAILABLE', message, then: 'retry' }
  }
}

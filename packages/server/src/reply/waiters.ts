import type { Clock, Timer } from '@forebay/broker'

/**
 * Who waits for which task, bounded. Each waiter is released exactly once: with what it waited for, or with null when
 * its time is over, its caller is gone or the process stops.
 */
export class Waiters<Found> {
  readonly #max: number
  readonly #clock: Clock
  readonly #onCount: (count: number) => void
  readonly #byTask = new Map<string, Waiter<Found>[]>()
  #count = 0

  constructor(max: number, clock: Clock, onCount: (count: number) => void) {
    this.#max = max
    this.#clock = clock
    this.#onCount = onCount
  }

  /** Null when as many as may wait do so already. */
  add(taskId: string): Waiter<Found> | null {
    if (this.#count >= this.#max) return null
    const waiter = new Waiter<Found>(this.#clock, () => this.#remove(taskId, waiter))
    const others = this.#byTask.get(taskId)
    if (others === undefined) this.#byTask.set(taskId, [waiter])
    else others.push(waiter)
    this.#onCount(++this.#count)
    return waiter
  }

  has(taskId: string): boolean {
    return this.#byTask.has(taskId)
  }

  wake(taskId: string, found: Found): void {
    const waiters = this.#byTask.get(taskId)
    if (waiters === undefined) return
    for (const waiter of [...waiters]) waiter.release(found)
  }

  releaseAll(): void {
    for (const waiters of [...this.#byTask.values()]) for (const waiter of [...waiters]) waiter.release(null)
  }

  #remove(taskId: string, waiter: Waiter<Found>): void {
    const waiters = this.#byTask.get(taskId)!
    if (waiters.length === 1) this.#byTask.delete(taskId)
    else waiters.splice(waiters.indexOf(waiter), 1)
    this.#onCount(--this.#count)
  }
}

export class Waiter<Found> {
  readonly #clock: Clock
  readonly #onReleased: () => void
  #released = false
  #found: Found | null = null
  #timer: Timer | null = null
  #signal: AbortSignal | undefined
  #resolve: ((found: Found | null) => void) | null = null
  readonly #giveUp = () => this.release(null)

  constructor(clock: Clock, onReleased: () => void) {
    this.#clock = clock
    this.#onReleased = onReleased
  }

  /** Resolves at once when it was woken before. To be called once. */
  wait(waitMs: number, signal?: AbortSignal): Promise<Found | null> {
    if (signal?.aborted || waitMs <= 0) this.release(null)
    if (this.#released) return Promise.resolve(this.#found)
    return new Promise((resolve) => {
      this.#resolve = resolve
      this.#timer = this.#clock.timer(waitMs, this.#giveUp)
      this.#signal = signal
      signal?.addEventListener('abort', this.#giveUp, { once: true })
    })
  }

  release(found: Found | null): void {
    if (this.#released) return
    this.#released = true
    this.#found = found
    this.#timer?.cancel()
    this.#signal?.removeEventListener('abort', this.#giveUp)
    this.#onReleased()
    this.#resolve?.(found)
  }
}

import type { Run } from './task.ts'

/**
 * The worker's concurrency as an account: a slot is free, given to a server as a credit, or taken by a run until its
 * handler returns — also by one that nobody waits for any more, because it still uses this machine.
 */
export class Slots {
  readonly #running = new Set<Run>()
  #free: number
  #onFree: () => void = () => {}
  #onIdle: () => void = () => {}

  constructor(total: number) {
    this.#free = total
  }

  get running(): ReadonlySet<Run> {
    return this.#running
  }

  /** Who is told that slots became free; the one session that takes tasks. */
  tell(onFree: () => void): void {
    this.#onFree = onFree
  }

  /** To give them out as credits. */
  takeFree(): number {
    const taken = this.#free
    this.#free = 0
    return taken
  }

  /** Credits that were never spent. */
  giveBack(count: number): void {
    if (count === 0) return
    this.#free += count
    this.#onFree()
  }

  /** A credit was spent on this run. */
  begin(run: Run): void {
    this.#running.add(run)
  }

  end(run: Run): void {
    this.#running.delete(run)
    this.giveBack(1)
    if (this.#running.size === 0) this.#onIdle()
  }

  /** Resolves once no handler runs. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }
}

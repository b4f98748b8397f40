import type { Clock, Timer } from '../clock.ts'
import type { Group } from './group.ts'
import type { LogCalls } from './log-calls.ts'
import type { ThreadCaller } from './thread-call.ts'

/** Stores the positions of all groups: within the interval after a change, or at once when asked. */
export class Commits {
  readonly #groups: ReadonlyMap<string, Group>
  readonly #thread: ThreadCaller<LogCalls>
  readonly #clock: Clock
  readonly #intervalMs: number
  #timer: Timer | null = null
  #last: Promise<void> = Promise.resolve()
  #closed = false

  constructor(groups: ReadonlyMap<string, Group>, thread: ThreadCaller<LogCalls>, clock: Clock, intervalMs: number) {
    this.#groups = groups
    this.#thread = thread
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  /** Something is to be stored, soon. */
  soon = (): void => {
    if (this.#timer !== null || this.#closed) return
    this.#timer = this.#clock.timer(this.#intervalMs, () => {
      this.#timer = null
      void this.now()
    })
  }

  /**
   * Resolves when what is settled by now is stored, or could not be: then it is tried again after the interval, and
   * a crash meanwhile only repeats work.
   */
  now(): Promise<void> {
    this.#last = this.#last.then(() => this.#store())
    return this.#last
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#closed = true
    await this.now()
  }

  async #store(): Promise<void> {
    const positions = [...this.#groups.values()].flatMap((group) => group.takeDirty())
    if (positions.length === 0) return
    const stored = await this.#thread.call('commit', positions).then(
      () => true,
      () => false,
    )
    for (const position of positions) {
      const group = this.#groups.get(position.group)!
      if (stored) group.stored(position)
      else group.markDirty(position.partitionId)
    }
  }
}

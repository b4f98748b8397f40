import type { ThreadCaller } from '@forebay/broker/embedded'
import type { StoredTask } from '../store.ts'
import type { StoreCalls } from './store-calls.ts'

/** Reads that are asked for while one is under way travel together in the next message. */
export class ReadLine {
  readonly #thread: ThreadCaller<StoreCalls>
  readonly #waiting: Waiting[] = []
  #pumping: Promise<void> | null = null

  constructor(thread: ThreadCaller<StoreCalls>) {
    this.#thread = thread
  }

  get(taskId: string): Promise<StoredTask | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ taskId, resolve, reject })
      this.#pumping ??= this.#pump()
    })
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#pumping !== null) await this.#pumping
  }

  async #pump(): Promise<void> {
    await null // Whatever else this turn asks for goes along.
    while (this.#waiting.length > 0) await this.#read(this.#waiting.splice(0, READ_TASKS_MAX))
    this.#pumping = null
  }

  async #read(group: readonly Waiting[]): Promise<void> {
    try {
      const found = await this.#thread.call(
        'read',
        group.map((one) => one.taskId),
      )
      group.forEach((one, index) => {
        one.resolve(found[index] ?? null)
      })
    } catch (error) {
      for (const one of group) one.reject(error)
    }
  }
}

/** Results of many MiB may be among them. */
const READ_TASKS_MAX = 64

interface Waiting {
  readonly taskId: string
  readonly resolve: (task: StoredTask | null) => void
  readonly reject: (error: unknown) => void
}

import type { Target } from '../../src/execute/target.ts'
import type { Attempt, Outcome } from '../../src/task.ts'

export interface Call {
  readonly id: string
  readonly key: string | null
  readonly number: number
  readonly attempt: Attempt
}

/**
 * A target that does what the body asks for: 'fail 2' fails two attempts and then succeeds, 'lose 3' loses three
 * workers, 'refuse' is final, 'hang' waits until it is released or cancelled; all else succeeds.
 */
export class ScriptedTarget implements Target {
  capacity = Number.POSITIVE_INFINITY
  onCapacity = () => {}
  readonly calls: Call[] = []
  readonly #heard: () => void
  readonly #hanging = new Map<Attempt, (outcome: Outcome) => void>()
  readonly #failed: Map<string, number>
  /** Fails all that begins while it is set. */
  down = false

  /** Two may count failures together. */
  constructor(heard: () => void, failed = new Map<string, number>()) {
    this.#heard = heard
    this.#failed = failed
  }

  get hanging(): number {
    return this.#hanging.size
  }

  async run(attempt: Attempt): Promise<Outcome> {
    const { task, number } = attempt
    this.calls.push({ id: task.id, key: task.key, number, attempt })
    this.#heard()
    await new Promise<void>((resolve) => setImmediate(resolve))
    const [word, count] = Buffer.from(task.payload).toString().split(' ')
    const failed = this.#failed.get(task.id) ?? 0
    if (this.down || (word === 'fail' && failed < Number(count))) {
      this.#failed.set(task.id, failed + 1)
      return { kind: 'failed', code: 'WORKER_FAILED', message: 'Not yet.', then: 'retry', worker: 'w' }
    }
    if (word === 'lose' && failed < Number(count)) {
      this.#failed.set(task.id, failed + 1)
      return { kind: 'worker-lost', message: 'The worker went away.', worker: 'w' }
    }
    if (word === 'refuse') return { kind: 'failed', code: 'WORKER_REFUSED', message: 'No.', then: 'final' }
    if (word === 'hang') {
      return new Promise((resolve) => {
        const { lost } = attempt
        const end = (outcome: Outcome) => {
          this.#hanging.delete(attempt)
          resolve(outcome)
        }
        this.#hanging.set(attempt, end)
        if (lost.aborted) end({ kind: 'worker-lost', message: 'lost' })
        lost.addEventListener('abort', () => end({ kind: 'worker-lost', message: 'lost' }), { once: true })
        this.#heard()
      })
    }
    return SUCCEEDED
  }

  release(): void {
    for (const end of [...this.#hanging.values()]) end(SUCCEEDED)
  }

  cancel(attempt: Attempt): void {
    this.#hanging.get(attempt)?.({ kind: 'cancelled' })
  }

  async stop(): Promise<void> {}
}

const SUCCEEDED: Outcome = { kind: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' }

import type { Owner } from '../../history/history.ts'
import { digest } from '../../history/record-event.ts'
import type { Target } from '../../packages/server/src/execute/target.ts'
import type { Attempt, Outcome } from '../../packages/server/src/task.ts'
import type { Journal } from '../journal.ts'
import type { SimProcess } from '../process.ts'
import type { Step, Workers } from './workers.ts'

export interface SimTargetParts {
  readonly process: SimProcess
  readonly workers: Workers
  readonly journal: Journal
  /** Attempts it takes at once. */
  readonly capacity: number
  readonly ownerOf: (lost: AbortSignal) => Owner | undefined
}

/** How long it takes to see that a worker is gone. ms */
const LEASE_MS = 3_000
/** Workers may answer twice; the second word must not count. */
const TWICE_SHARE = 0.05

interface Running {
  readonly execution: string
  readonly finish: (outcome: Outcome) => void
}

/** One dispatcher's way to the workers of one queue. */
export class SimTarget implements Target {
  onCapacity: () => void = () => {}
  readonly #parts: SimTargetParts
  readonly #running = new Map<Attempt, Running>()

  constructor(parts: SimTargetParts) {
    this.#parts = parts
    parts.process.onEnd(() => {
      for (const [attempt, { execution }] of this.#running) this.#over(attempt, execution, 'crashed')
    })
  }

  get capacity(): number {
    return this.#parts.capacity - this.#running.size
  }

  run(attempt: Attempt): Promise<Outcome> {
    const { process, workers, journal, ownerOf } = this.#parts
    const { task } = attempt
    const { step, execution } = workers.begin(task.id, task.payload)
    const owner = ownerOf(attempt.lost)
    journal.write(process.name, {
      type: 'exec.start',
      execution,
      taskId: task.id,
      generation: task.generation,
      attempt: attempt.number,
      queue: task.queue,
      key: task.key,
      body: digest(task.payload),
      wallMs: process.clock.wallMs(),
      ...(owner === undefined ? {} : { owner }),
    })
    return new Promise((resolve) => {
      let over = false
      const finish = (outcome: Outcome) => {
        if (over) return
        over = true
        timer.cancel()
        attempt.lost.removeEventListener('abort', onLost)
        this.#over(attempt, execution, outcome.kind)
        resolve(outcome)
        this.onCapacity()
      }
      const onLost = () => finish({ kind: 'worker-lost', message: 'The partition was lost.' })
      const timer = process.clock.timer(attempt.timeoutMs, () => finish({ kind: 'timed-out' }))
      attempt.lost.addEventListener('abort', onLost, { once: true })
      this.#running.set(attempt, { execution, finish })
      this.#work(attempt, execution, step, finish)
    })
  }

  cancel(attempt: Attempt): void {
    const { process, workers, journal } = this.#parts
    journal.cover('attempt called off')
    workers.schedule.in(workers.random.between(0, 20), () =>
      process.deliver(() => this.#running.get(attempt)?.finish({ kind: 'cancelled' })),
    )
  }

  async stop(): Promise<void> {}

  #work(attempt: Attempt, execution: string, step: Step, finish: (outcome: Outcome) => void): void {
    const { process, workers, journal } = this.#parts
    const { schedule, random } = workers
    const answer = (outcome: Outcome) => {
      schedule.in(random.skewed(0.1, 5), () => process.deliver(() => finish(outcome)))
      if (!random.chance(TWICE_SHARE)) return
      journal.cover('worker answers twice')
      schedule.in(random.between(0, 30), () => process.deliver(() => finish(outcome)))
    }
    if (step.act === 'vanish') {
      schedule.in(step.tookMs, () => {
        schedule.in(random.between(0, LEASE_MS), () =>
          process.deliver(() => finish({ kind: 'worker-lost', message: 'The worker went away.' })),
        )
      })
      return
    }
    schedule.in(step.tookMs, () => {
      const payload = workers.end(execution, attempt.task.id, step)
      answer(outcomeOf(step, payload))
    })
  }

  #over(attempt: Attempt, execution: string, outcome: string): void {
    const { process, journal } = this.#parts
    this.#running.delete(attempt)
    journal.cover(`attempt ${outcome}`)
    journal.write(process.name, { type: 'exec.over', execution, taskId: attempt.task.id, outcome })
  }
}

function outcomeOf(step: Step, payload: Uint8Array): Outcome {
  const failed = { kind: 'failed', message: 'As the script says.' } as const
  switch (step.act) {
    case 'retry': {
      const retry = { ...failed, code: 'WORKER_FAILED', then: 'retry' } as const
      return step.retryAfterMs === undefined ? retry : { ...retry, retryAfterMs: step.retryAfterMs }
    }
    case 'refuse':
      return { ...failed, code: 'WORKER_REFUSED', then: 'final' }
    case 'give-up':
      return { ...failed, code: 'WORKER_FAILED', then: 'dead' }
    default:
      return { kind: 'succeeded', payload, contentType: 'text/plain' }
  }
}

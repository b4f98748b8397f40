import { digest } from '../../history/record-event.ts'
import type { Journal } from '../journal.ts'
import type { SeededRandom } from '../random.ts'
import type { Schedule } from '../schedule.ts'

/** What a worker does with one execution of a task. */
export interface Step {
  readonly act:
    | 'succeed'
    /** Fails, and may be tried again. */
    | 'retry'
    | 'refuse'
    | 'give-up'
    /** The worker goes away in the middle. */
    | 'vanish'
    /** Comes to its end long after anybody waits for it. */
    | 'dawdle'
  readonly tookMs: number
  readonly retryAfterMs?: number
}

/** What a caller asks for: its body, as the workers understand it. */
export interface Script {
  readonly request: string
  /** For the first executions; those after that succeed. */
  readonly steps: readonly Step[]
}

/** The ledger of the workers: how often each task was executed, wherever and by whomever it was handed out. */
export class Workers {
  readonly schedule: Schedule
  readonly random: SeededRandom
  readonly #journal: Journal
  readonly #executions = new Map<string, number>()

  constructor(schedule: Schedule, random: SeededRandom, journal: Journal) {
    this.schedule = schedule
    this.random = random
    this.#journal = journal
  }

  /** The next step of the task's script, and the execution's own name. */
  begin(taskId: string, payload: Uint8Array): { readonly step: Step; readonly execution: string } {
    const nth = this.#executions.get(taskId) ?? 0
    this.#executions.set(taskId, nth + 1)
    const { steps } = JSON.parse(Buffer.from(payload).toString()) as Script
    const step = steps[nth] ?? { act: 'succeed', tookMs: this.random.skewed(1, 60) }
    this.#journal.cover(`step ${step.act}`)
    if (nth > 0) this.#journal.cover('executed again')
    return { step, execution: `${taskId.slice(-8)}/${nth + 1}` }
  }

  /** Each execution has an answer of its own, so that it shows whose was given. */
  end(execution: string, taskId: string, step: Step): Uint8Array {
    const answer = Buffer.from(`done by ${execution}`)
    const outcome = OUTCOMES[step.act]
    if (outcome !== null) {
      this.#journal.write('workers', {
        type: 'exec.end',
        execution,
        taskId,
        outcome,
        answer: outcome === 'succeeded' ? digest(answer) : null,
        retryAfterMs: step.retryAfterMs ?? null,
      })
    }
    return answer
  }
}

const OUTCOMES = {
  succeed: 'succeeded',
  dawdle: 'succeeded',
  retry: 'retry',
  refuse: 'final',
  'give-up': 'dead',
  vanish: null,
} as const

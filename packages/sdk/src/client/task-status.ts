import type { BadEnd, ProblemBody } from './errors.ts'

export type TaskState = 'pending' | 'running' | 'retrying' | 'parked' | 'succeeded' | BadEnd

export interface TaskStatus {
  readonly id: string
  readonly queue: string
  readonly state: TaskState
  /** Attempts that are known to have ended or to be under way. */
  readonly attempts: number
  /** How often an operator gave it a new life after it had ended dead. */
  readonly generation: number
  readonly acceptedAt: Date
  /** Null until it has ended. */
  readonly finishedAt: Date | null
  /** Why it ended otherwise than well, or why its last attempt failed. */
  readonly problem: ProblemBody | null
}

/** From a gateway's JSON. */
export function statusOf(id: string, given: Readonly<Record<string, unknown>>): TaskStatus {
  return {
    id,
    queue: String(given.queue),
    state: given.state as TaskState,
    attempts: Number(given.attempts),
    generation: Number(given.generation ?? 0),
    acceptedAt: new Date(String(given.acceptedAt)),
    finishedAt: typeof given.finishedAt === 'string' ? new Date(given.finishedAt) : null,
    problem: (given.problem as ProblemBody | undefined) ?? null,
  }
}

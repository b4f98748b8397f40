/** What an id says of its task, once its signature has been checked. */
export interface TaskIdParts {
  readonly id: string
  /** Wall time of the acceptance, ms since 1970. */
  readonly acceptedAtMs: number
  /** Wall time, rounded up to a coarse step: past it a task that never reached the log counts as expired. */
  readonly deadlineAtMs: number
  readonly queue: string
  readonly lane: number
}

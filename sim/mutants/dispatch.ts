import type { Mutant } from './mutant.ts'

const ROAD = 'packages/server/src/dispatch/task-road.ts'

export const DISPATCH_MUTANTS: readonly Mutant[] = [
  {
    name: 'a task is settled as soon as it is delivered',
    file: 'packages/server/src/dispatch/partition-window.ts',
    find: '    this.unfinished++\n',
    replace: '    this.unfinished++\n    entry.delivery?.settle()\n',
    caughtBy: ['C-1', 'C-2'],
    seedsMax: 10,
  },
  {
    name: 'a task is settled before its result is durable',
    file: 'packages/server/src/dispatch/endings.ts',
    find: '    this.underWay++\n',
    replace: '    this.underWay++\n    entry.delivery?.settle()\n',
    caughtBy: ['C-1', 'C-2', 'D-2'],
    seedsMax: 20,
  },
  {
    name: 'a key goes on while its first task waits for a retry',
    file: ROAD,
    find: '    if (!this.#ordered) this.#next(entry)\n',
    replace: '    this.#next(entry)\n',
    caughtBy: ['O-1', 'O-2', 'O-3', 'O-4'],
    seedsMax: 20,
  },
  {
    name: 'keys have no lines',
    file: 'packages/server/src/dispatch/partition-window.ts',
    find: '    if (key === null || this.#width === Number.POSITIVE_INFINITY) return true\n    const line',
    replace: '    if (key !== undefined) return true\n    const line',
    caughtBy: ['O-1', 'O-2', 'O-3', 'O-4'],
    seedsMax: 10,
  },
  {
    name: 'deadlines are not looked at',
    file: 'packages/server/src/dispatch/attempts.ts',
    find: '      if (budgetLeftMs <= 0) this.#steps.expire(entry)\n      else if',
    replace: '      if',
    caughtBy: ['P7'],
    seedsMax: 100,
  },
  {
    name: 'attempts are not counted against their limit',
    file: 'packages/server/src/dispatch/retry-policy.ts',
    find: '  if (question.attempts >= policy.attemptsMax) return null\n',
    replace: '',
    caughtBy: ['R-1'],
    seedsMax: 20,
  },
  {
    name: 'a "retry after" is taken for a hint',
    file: 'packages/server/src/dispatch/retry-policy.ts',
    find: '(question.retryAfterMs ?? 0)',
    replace: '0',
    caughtBy: ['R-2'],
    seedsMax: 20,
  },
  {
    name: 'waits are measured by the wall clock',
    file: 'packages/server/src/dispatch/partition-window.ts',
    find: '    const timer = clock.timer(delayMs, () => {\n',
    replace: `    const untilWallMs = clock.wallMs() + delayMs
    const early = () => {
      if (clock.wallMs() < untilWallMs) {
        entry.wait = { ...entry.wait!, timer: clock.timer(Math.min(delayMs, 20), early) }
        return
      }
      this.endWait(entry)
      then(entry)
    }
    const timer = clock.timer(Math.min(delayMs, 20), () => {
      if (delayMs >= 0) return early()
`,
    caughtBy: ['R-2', 'L-1'],
    seedsMax: 200,
  },
]

import type { Mutant } from './mutant.ts'

export const PARKING_MUTANTS: readonly Mutant[] = [
  {
    name: 'a delay grows by what two clocks differ',
    file: 'packages/server/src/dispatch/task-road.ts',
    find: 'const delayLeftMs = Math.min(task.delayMs, task.acceptedAtMs',
    replace: 'const delayLeftMs = Math.max(0, task.acceptedAtMs',
    caughtBy: ['L-1', 'D-2'],
    seedsMax: 100,
  },
  {
    name: 'when a task parks, its key goes on without it',
    file: 'packages/server/src/dispatch/task-road.ts',
    find: '    if (this.#ordered && entry.placed) {\n',
    replace: '    if (false) {\n',
    caughtBy: ['O-1', 'O-2', 'O-3', 'O-4'],
    seedsMax: 60,
  },
  {
    name: 'what comes from the log passes what is parked of its key',
    file: 'packages/server/src/dispatch/parked-lines.ts',
    find: '    if (line === undefined) return false\n    if (line.held',
    replace: '    if (line !== null) return false\n    if (line.held',
    caughtBy: ['O-1', 'O-2', 'O-3', 'O-4'],
    seedsMax: 100,
  },
  {
    name: 'a parked row goes before its record is in the log again',
    file: 'packages/server/src/dispatch/unparking.ts',
    find: '    let missing = rows\n',
    replace: '    let missing = rows\n    for (const { row } of rows) this.#gone(window, row)\n',
    caughtBy: ['D-2', 'L-1'],
    seedsMax: 300,
  },
  {
    name: 'a task is settled before it is durably parked',
    file: 'packages/server/src/dispatch/partition-parking.ts',
    find: '    const parks = this.#parks\n',
    replace: '    const parks = this.#parks\n    for (const { entry } of parks) entry.delivery?.settle()\n',
    caughtBy: ['C-1', 'C-2', 'D-2'],
    seedsMax: 100,
  },
]

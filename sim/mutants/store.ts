import type { Mutant } from './mutant.ts'

const TASK_ROWS = 'packages/server/src/store/embedded/task-rows.ts'
const RESERVATIONS = 'packages/server/src/store/embedded/reservation-rows.ts'

export const STORE_MUTANTS: readonly Mutant[] = [
  {
    name: 'the last result of a task wins',
    file: TASK_ROWS,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of another file
    find: 'OR (excluded.generation = tasks.generation AND tasks.ended <> ${ENDED})`,',
    replace: 'OR excluded.generation = tasks.generation`,',
    caughtBy: ['V-1', 'V-2', 'V-3'],
    seedsMax: 60,
  },
  {
    name: 'another life of a task does not take the place of the one before',
    file: TASK_ROWS,
    find: '       WHERE excluded.generation > tasks.generation\n          OR (',
    replace: '       WHERE (',
    caughtBy: ['G-2'],
    seedsMax: 30,
  },
  {
    name: 'idempotency keys of all callers are one',
    file: RESERVATIONS,
    find: '  return [principal, route, key]\n',
    replace: "  return ['', route, key + principal.slice(99)]\n",
    caughtBy: ['I-3'],
    seedsMax: 30,
  },
  {
    name: 'a claim that was resumed is given free all the same',
    file: RESERVATIONS,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of another file
    find: 'DELETE FROM reservations ${held} AND kept = 0 AND resumed = 0`',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of another file
    replace: 'DELETE FROM reservations ${held} AND kept = 0`',
    caughtBy: ['I-1'],
    seedsMax: 300,
  },
]

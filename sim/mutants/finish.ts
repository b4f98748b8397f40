import type { Mutant } from './mutant.ts'

export const FINISH_MUTANTS: readonly Mutant[] = [
  {
    name: 'a result that the log did not take is not sent again',
    file: 'packages/server/src/finish/keep-records.ts',
    find: '      return untilKept(kind.stillMissing(records, error), taskId, lost, error)\n',
    replace: '      return error !== null\n',
    caughtBy: ['C-1', 'C-2', 'D-2', 'L-1'],
    seedsMax: 20,
  },
  {
    name: 'dead letters are sent and forgotten',
    file: 'packages/server/src/finish/finisher.ts',
    find: '    return keep([deadRecord(letter, bytesMax)], letter.taskId, lost)\n',
    replace: '    void broker.publish([deadRecord(letter, bytesMax)]).catch(() => {})\n    return true\n',
    caughtBy: ['R-3'],
    seedsMax: 100,
  },
  {
    name: 'a dead letter goes to the log after its result',
    file: 'packages/server/src/finish/finisher.ts',
    find: `      if (letter !== null && !(await keepLetter(letter, lost))) return false
      const record = resultRecord(kept, task.lane)
      const copy = resultTopics.copy(kept, task)
      return keep(copy === null ? [record] : [record, copy], kept.taskId, lost)
`,
    replace: `      if (!(await keep([resultRecord(kept, task.lane)], kept.taskId, lost))) return false
      return letter === null || keepLetter(letter, lost)
`,
    caughtBy: ['R-3'],
    seedsMax: 300,
  },
  {
    name: 'readers are told that the store has caught up before it has',
    file: 'packages/server/src/finish/recorded-partition.ts',
    find: '      if (await this.#store(next, entries)) this.#advance(next, entries)\n',
    replace: '      this.#advance(next, entries)\n      await this.#store(next, entries)\n',
    caughtBy: ['V-3'],
    seedsMax: 30,
  },
]

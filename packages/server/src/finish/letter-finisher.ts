import { type DeadLetter, deadRecord } from '../dead/dead-record.ts'
import { FloodLimit } from '../dead/flood-limit.ts'
import { AttemptOutput } from './attempt-output.ts'
import type { Finisher, FinisherDependencies } from './finisher.ts'
import { RESULTS, recordKeeper } from './keep-records.ts'

export interface LetterFinisherDependencies extends Pick<FinisherDependencies, 'broker' | 'clock' | 'random' | 'log'> {
  /** A letter as it is to be written: where it goes, and, for what came back to another place, where it was at first. */
  readonly addressed: (letter: DeadLetter) => DeadLetter
}

/** For what nobody waits for the result of: of how it ended only dead letters are kept. Notes go nowhere. */
export function createLetterFinisher(dependencies: LetterFinisherDependencies): Finisher {
  const { broker, clock, addressed } = dependencies
  const bytesMax = broker.capabilities.recordBytesMax
  const closed = new AbortController()
  const flood = new FloodLimit(clock)
  const parts = { ...dependencies, closed: closed.signal }
  const keep = recordKeeper(parts, RESULTS)

  return {
    async finish(result, _task, letter, lost) {
      if (letter === null) return true
      if (!(await flood.turn(result.queue, [lost, closed.signal]))) return false
      return keep([deadRecord(addressed(letter), bytesMax)], letter.taskId, lost)
    },
    note: () => {},
    output: (task, attempt, lost) => new AttemptOutput(parts, task, attempt, lost),
    close: () => closed.abort(),
  }
}

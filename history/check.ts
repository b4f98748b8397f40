import {
  backoffIsKept,
  deadHaveLetters,
  deadlineIsKept,
  delayIsKept,
  nothingExpiresEarly,
  onlyTheDeadRise,
} from './checkers/attempts.ts'
import { cancelledOnlyWhenAsked, refusedCancelsDoNothing } from './checkers/cancellation.ts'
import {
  bodyReachesWorker,
  keptInLog,
  keptTasksEnd,
  keysArePrivate,
  mismatchesAreTrue,
  nothingUnasked,
  oneTaskPerKey,
  oneTaskPerKeyInLog,
} from './checkers/durability.ts'
import { callersGetThrough, drains, nothingBreaks } from './checkers/liveness.ts'
import { commitBehind, commitsGoForward, commitsUnderOwnEpoch } from './checkers/offsets.ts'
import { attemptsAreCounted, begunAfterEnds, begunInOrder, nothingOldRunsLast, oneAtATime } from './checkers/order.ts'
import {
  firstResultWins,
  latestLifeIsTold,
  noStepBack,
  nothingBeforeItsWork,
  oneAnswer,
  waitersAreWoken,
  waitsEndOnce,
} from './checkers/visibility.ts'
import type { Checker, History, Violation } from './history.ts'

/** Everything that can be said against a run; the most telling first. */
export function check(history: History, checkers: readonly Checker[] = CHECKERS): Violation[] {
  return checkers.flatMap((checker) => checker(history))
}

export const CHECKERS: readonly Checker[] = [
  nothingBreaks,
  keptInLog,
  nothingUnasked,
  oneTaskPerKey,
  oneTaskPerKeyInLog,
  keysArePrivate,
  mismatchesAreTrue,
  oneAnswer,
  firstResultWins,
  latestLifeIsTold,
  noStepBack,
  nothingBeforeItsWork,
  commitBehind,
  commitsGoForward,
  commitsUnderOwnEpoch,
  begunInOrder,
  begunAfterEnds,
  nothingOldRunsLast,
  oneAtATime,
  attemptsAreCounted,
  backoffIsKept,
  deadlineIsKept,
  nothingExpiresEarly,
  delayIsKept,
  deadHaveLetters,
  onlyTheDeadRise,
  bodyReachesWorker,
  cancelledOnlyWhenAsked,
  refusedCancelsDoNothing,
  waitersAreWoken,
  waitsEndOnce,
  keptTasksEnd,
  callersGetThrough,
  drains,
]

import type { Checker, Violation } from '../history.ts'
import { eventsOf, firstBy, lifeOf, placeOf, winners } from '../select.ts'

/**
 * R-2: no attempt begins before the worker's own "not before" has passed; measured by a clock that does not jump. Not where
 * the partition changed hands in between: what its last owner had in hand is due at once for the next.
 */
export const backoffIsKept: Checker = (history) => {
  const ends = firstBy(eventsOf(history, 'exec.end'), (event) => event.execution)
  const starts = Map.groupBy(eventsOf(history, 'exec.start'), lifeOf)
  // An operator's word comes before the worker's.
  const wished = new Set(eventsOf(history, 'operator.wish').map((event) => event.taskId))
  const records = firstBy(eventsOf(history, 'log.task'), lifeOf)
  const handovers = Map.groupBy(eventsOf(history, 'owner.assigned'), ({ owner }) => `${owner.topic} ${owner.partition}`)
  const violations: Violation[] = []
  for (const own of starts.values()) {
    for (const start of own) {
      if (start.attempt === 1 || wished.has(start.taskId)) continue
      const before = own.filter((one) => one.attempt === start.attempt - 1 && one.t < start.t)
      if (before.length === 0) continue
      const allowed = before.some((one) => {
        const end = ends.get(one.execution)
        if (end === undefined || end.outcome !== 'retry' || end.retryAfterMs === null) return true
        return start.t >= end.t + end.retryAfterMs - CLOCK_SLACK_MS
      })
      const place = records.get(lifeOf(start))
      const handed = handovers.get(`${place?.topic} ${place?.partition}`)
      if (allowed || handed?.some(({ t }) => t > before[0]!.t && t <= start.t)) continue
      const [first] = before
      violations.push({
        invariant: 'R-2',
        says: `Attempt ${start.attempt} of task ${start.taskId} began before the time had passed that the worker had named.`,
        witness: [first!, ends.get(first!.execution)!, start],
      })
    }
  }
  return violations
}
/** Clocks of two processes of one machine differ by as much. ms */
const CLOCK_SLACK_MS = 2

/** R-3: who is told "dead" can trust that the letter is kept, whole. D-6 for the way into it. */
export const deadHaveLetters: Checker = (history) => {
  const letters = Map.groupBy(eventsOf(history, 'log.dead'), lifeOf)
  const records = firstBy(eventsOf(history, 'log.task'), placeOf)
  const quiet = eventsOf(history, 'phase').some((event) => event.phase === 'quiet')
  const violations: Violation[] = []
  for (const result of winners(history)) {
    if (result.state !== 'dead') continue
    const own = letters.get(lifeOf(result)) ?? []
    if (own.length === 0 && quiet) {
      violations.push({
        invariant: 'R-3',
        says: `Task ${result.taskId} ended dead, and there is no dead letter of it.`,
        witness: [
          ...eventsOf(history, 'log.task')
            .filter((one) => lifeOf(one) === lifeOf(result))
            .slice(0, 2),
          result,
        ],
      })
    }
  }
  for (const letter of eventsOf(history, 'log.dead')) {
    const origin = records.get(letter.origin)
    if (origin !== undefined && origin.body === letter.body && origin.taskId === letter.taskId) continue
    violations.push({
      invariant: 'D-6',
      says: `The dead letter of task ${letter.taskId} does not hold what was in the log.`,
      witness: [...(origin === undefined ? [] : [origin]), letter],
    })
  }
  return violations
}

/** G-1: another life begins only where the one before it ended dead. Letters are judged by their age, so where clocks hold. */
export const onlyTheDeadRise: Checker = (history) => {
  if (eventsOf(history, 'fault.begin').some(({ fault }) => fault === 'clock')) return []
  const ends = firstBy(winners(history), lifeOf)
  return [...firstBy(eventsOf(history, 'log.task'), lifeOf).values()]
    .filter((record) => record.generation > 0)
    .flatMap((record) => {
      const before = ends.get(lifeOf({ taskId: record.taskId, generation: record.generation - 1 }))
      // Its letter may have been found before its result was in the log.
      if (before?.state === 'dead') return []
      const says = `Task ${record.taskId} was redriven, and its life before had ${before === undefined ? 'not ended' : `ended ${before.state}`}.`
      return [{ invariant: 'G-1', says, witness: [...(before === undefined ? [] : [before]), record] }]
    })
}

/** P7: nothing is handed out past its deadline, by the clock of whoever hands it out. */
export const deadlineIsKept: Checker = (history) => {
  // The second record of a request that was sent again has its deadline from the task's id, which rounds it up.
  const latest = eventsOf(history, 'log.task').toSorted((one, other) => other.deadlineAtMs - one.deadlineAtMs)
  const records = firstBy(latest, lifeOf)
  return eventsOf(history, 'exec.start')
    .filter((start) => start.wallMs >= (records.get(lifeOf(start))?.deadlineAtMs ?? Number.POSITIVE_INFINITY))
    .map((start) => ({
      invariant: 'P7',
      says: `Task ${start.taskId} was handed out after its deadline.`,
      witness: [records.get(lifeOf(start))!, start],
    }))
}

/** P7, the other way: nothing expires before its deadline. Deadlines are of wall clocks: not where those have jumped. */
export const nothingExpiresEarly: Checker = (history) => {
  if (eventsOf(history, 'fault.begin').some(({ fault }) => fault === 'clock')) return []
  const records = firstBy(eventsOf(history, 'log.task'), lifeOf)
  return eventsOf(history, 'log.result')
    .filter((result) => result.state === 'expired')
    .filter((result) => result.finishedAtMs < (records.get(lifeOf(result))?.deadlineAtMs ?? 0))
    .map((result) => ({
      invariant: 'P7',
      says: `Task ${result.taskId} expired before its deadline.`,
      witness: [records.get(lifeOf(result))!, result],
    }))
}

/** Delays: nothing delayed begins before it is due. They count by wall clocks, so not where those have jumped. */
export const delayIsKept: Checker = (history) => {
  if (eventsOf(history, 'fault.begin').some(({ fault }) => fault === 'clock')) return []
  const delayed = firstBy(
    eventsOf(history, 'log.task').filter((record) => record.delayMs > 0),
    (record) => record.taskId,
  )
  return [...firstBy(eventsOf(history, 'exec.start'), (start) => start.taskId).values()]
    .filter((start) => {
      const record = delayed.get(start.taskId)
      return record !== undefined && start.wallMs < record.acceptedAtMs + record.delayMs - CLOCK_SLACK_MS
    })
    .map((start) => ({
      invariant: 'P-delay',
      says: `Task ${start.taskId} was begun before its delay was over.`,
      witness: [delayed.get(start.taskId)!, start],
    }))
}

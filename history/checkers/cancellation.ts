import type { Checker, Violation } from '../history.ts'
import { eventsOf, firstBy, winners } from '../select.ts'

/** a task ends as cancelled only where somebody asked for it. */
export const cancelledOnlyWhenAsked: Checker = (history) => {
  const asked = firstBy(eventsOf(history, 'cancel.invoke'), (event) => event.taskId)
  return winners(history)
    .filter((result) => result.state === 'cancelled' && !asked.has(result.taskId))
    .map((result) => ({
      invariant: 'X-1',
      says: `Task ${result.taskId} was cancelled, and nobody had asked for it.`,
      witness: [result],
    }))
}

/** a call that promised that nothing was done has done nothing. */
export const refusedCancelsDoNothing: Checker = (history) => {
  const asked = Map.groupBy(eventsOf(history, 'cancel.invoke'), (event) => event.taskId)
  const failed = firstBy(eventsOf(history, 'cancel.fail'), (event) => event.request)
  const violations: Violation[] = []
  for (const result of winners(history)) {
    const invokes = asked.get(result.taskId) ?? []
    if (result.state !== 'cancelled' || invokes.length === 0) continue
    const fails = invokes.flatMap((invoke) => failed.get(invoke.request) ?? [])
    if (fails.length < invokes.length) continue
    violations.push({
      invariant: 'X-2',
      says: `Task ${result.taskId} was cancelled, though every call for it was refused.`,
      witness: [...invokes.slice(0, 2), ...fails.slice(0, 2), result],
    })
  }
  return violations
}

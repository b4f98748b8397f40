import type { Checker, Violation } from '../history.ts'
import { eventsOf, firstBy, lifeOf } from '../select.ts'

/** L-1: after everything was healed, what was open came to an end in time. */
export const drains: Checker = (history) => {
  const stuck = eventsOf(history, 'phase').find((event) => event.phase === 'stuck')
  if (stuck === undefined) return []
  const ended = firstBy(eventsOf(history, 'log.result'), lifeOf)
  const open = [...firstBy(eventsOf(history, 'log.task'), lifeOf).values()].filter((one) => !ended.has(lifeOf(one)))
  if (open.length === 0) {
    return [{ invariant: 'L-1', says: 'After everything was healed the run did not come to rest.', witness: [stuck] }]
  }
  return open.slice(0, 3).map((record) => ({
    invariant: 'L-1',
    says: `After everything was healed, task ${record.taskId} did not come to an end; so did ${open.length - 1} others.`,
    witness: history.events.filter((event) => 'taskId' in event && event.taskId === record.taskId).slice(-6),
  }))
}

/** I-5, L-1: after everything was healed, who asks again with its key is answered. */
export const callersGetThrough: Checker = (history) => {
  const quiet = eventsOf(history, 'phase').find((event) => event.phase === 'healed')?.t
  if (quiet === undefined) return []
  const invokes = firstBy(eventsOf(history, 'submit.invoke'), (event) => event.request)
  const violations: Violation[] = []
  for (const fail of [...eventsOf(history, 'submit.fail'), ...eventsOf(history, 'submit.unknown')]) {
    const invoke = invokes.get(fail.request)!
    if (invoke.t < quiet + SETTLED_MS || REFUSALS.has(fail.code)) continue
    violations.push({
      invariant: 'I-5',
      says: `A request was refused with ${fail.code} long after everything was healed.`,
      witness: [invoke, fail],
    })
  }
  return violations
}
/** Sessions time out, groups form anew, claims age. ms */
const SETTLED_MS = 90_000
const REFUSALS: ReadonlySet<string> = new Set(['IDEMPOTENCY_MISMATCH', 'DELAY_UNAVAILABLE'])

/** No process may break by itself. */
export const nothingBreaks: Checker = (history) =>
  eventsOf(history, 'process.broke').map((event) => ({
    invariant: 'U-1',
    says: `A process broke by itself: ${event.error}`,
    witness: [event],
  }))

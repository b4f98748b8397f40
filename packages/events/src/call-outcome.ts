import type { Outcome } from '@forebay/server/dispatch'
import type { Event } from './event.ts'
import type { CallEnd } from './handler-call.ts'
import { type BatchError, refusalOf } from './handler-errors.ts'

/** Of each event of the call; null where this process hands it back by ending: whoever gets it next begins anew. */
export function outcomesOf(end: CallEnd, events: readonly Event[]): readonly (Outcome | null)[] {
  if (end.kind === 'succeeded') return events.map(() => SUCCEEDED)
  if (end.kind === 'called-off') return events.map(() => CALLED_OFF[end.why])
  const { thrown } = end
  const errors = thrown instanceof Error && thrown.name === 'BatchError' ? errorsOf(thrown as BatchError, events) : null
  if (errors === null) return events.map(() => failureOf(thrown))
  return events.map((_, index) => (errors.has(index) ? failureOf(errors.get(index)) : SUCCEEDED))
}

export const SUCCEEDED: Outcome = { kind: 'succeeded', payload: new Uint8Array(), contentType: '' }
/** Nobody reads it. */
export const ASSIGNMENT_LOST: Outcome = { kind: 'worker-lost', message: 'The assignment was lost.' }

const CALLED_OFF = { 'timed-out': { kind: 'timed-out' }, 'assignment-lost': ASSIGNMENT_LOST, stopping: null } as const

function failureOf(thrown: unknown): Outcome {
  const refusal = refusalOf(thrown)
  const { message } = refusal
  if (refusal.then === 'dead') return { kind: 'failed', code: 'WORKER_REFUSED', message, then: 'dead' }
  return { kind: 'failed', code: 'WORKER_FAILED', message, then: 'retry', retryAfterMs: refusal.afterMs }
}

/** By index. Null where it names nothing, or something that was not there: then nobody knows what is done. */
function errorsOf({ failed }: BatchError, events: readonly Event[]): ReadonlyMap<number, unknown> | null {
  const errors = new Map<number, unknown>()
  for (const one of Array.isArray(failed) ? (failed as BatchError['failed']) : []) {
    const indexes = 'index' in one ? [one.index] : [...events.keys()].filter((index) => events[index]!.id === one.id)
    if (indexes.length === 0 || indexes.some((index) => events[index] === undefined)) return null
    for (const index of indexes) errors.set(index, one.error)
  }
  return errors.size === 0 ? null : errors
}

import type { Event } from './event.ts'
import type { BatchContext, Handler } from './handler-context.ts'

/**
 * Has events of one name handled together. A call that resolves has done all of them. One that throws a `BatchError` has
 * done all but those that it names; one that throws anything else has done none. What failed is tried again by itself, in
 * a batch of one, so that no event takes others along to the dead letters.
 *
 * With order by key no two of a key are ever in one batch: many keys make large batches, one key makes small ones.
 */
export interface BatchHandler<Handled extends Event = Event> {
  readonly batch: (events: readonly Handled[], context: BatchContext) => unknown
  /** Events in one call. Default 100; at most 2,000. */
  readonly eventsMax?: number
  /** Longest wait of an event for others to go with. Default 10; at most 60,000. ms */
  readonly lingerMs?: number
}

/** The same with nothing left out. */
export type ResolvedHandler = Handler | Required<BatchHandler>

export function resolveHandler(given: Handler | BatchHandler): ResolvedHandler {
  if (typeof given === 'function') return given
  return {
    batch: given.batch,
    eventsMax: given.eventsMax ?? EVENTS_DEFAULT,
    lingerMs: given.lingerMs ?? LINGER_MS_DEFAULT,
  }
}

export function handlerFaults(name: string, given: Handler | BatchHandler | undefined): string[] {
  if (typeof given === 'function') return []
  if (typeof given?.batch !== 'function') return [`handlers: ${name} has none`]
  const { eventsMax = EVENTS_DEFAULT, lingerMs = LINGER_MS_DEFAULT } = given
  return [
    ...wholeFaults(`handlers.${name}.eventsMax`, eventsMax, 1, EVENTS_MAX),
    ...wholeFaults(`handlers.${name}.lingerMs`, lingerMs, 0, LINGER_MS_MAX),
  ]
}

const EVENTS_DEFAULT = 100
/** As many as a partition's window holds. */
const EVENTS_MAX = 2_000
const LINGER_MS_DEFAULT = 10
const LINGER_MS_MAX = 60_000

function wholeFaults(field: string, value: number, min: number, max: number): string[] {
  if (Number.isInteger(value) && value >= min && value <= max) return []
  return [`${field}: use a whole number from ${min} to ${max}, got ${value}`]
}

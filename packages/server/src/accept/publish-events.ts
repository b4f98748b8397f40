import { type Broker, type Position, PublishError, type RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'

/** What became of one event that was handed to the log. */
export type EventOutcome =
  /** Durable. Its place is not known where others of its batch failed. */
  | { readonly kind: 'accepted'; readonly position: Position | null }
  /** Certainly not in the log. */
  | { readonly kind: 'not-accepted' }
  /** It may be in the log. */
  | { readonly kind: 'unknown' }

export interface EventsPublished {
  /** In the order given. */
  readonly outcomes: readonly EventOutcome[]
  /** What to answer; null when all are durable. */
  readonly error: ForebayError | null
}

/** Hands events to the log together, and tells of each what is known (P9). Never rejects. */
export async function publishEvents(
  broker: Pick<Broker, 'publish'>,
  records: readonly RecordToPublish[],
): Promise<EventsPublished> {
  try {
    const positions = records.length === 0 ? [] : await broker.publish(records)
    return { outcomes: positions.map((position) => ({ kind: 'accepted', position })), error: null }
  } catch (cause) {
    const outcomes = outcomesOf(cause, records.length)
    return { outcomes, error: errorOf(outcomes, cause) }
  }
}

function outcomesOf(cause: unknown, count: number): EventOutcome[] {
  if (!(cause instanceof PublishError)) return Array.from({ length: count }, () => ({ kind: 'unknown' }))
  const outcomes: EventOutcome[] = Array.from({ length: count }, () => ({ kind: 'accepted', position: null }))
  for (const { index, outcome } of cause.failed) {
    outcomes[index] = { kind: outcome === 'refused' ? 'not-accepted' : 'unknown' }
  }
  return outcomes
}

/** Only where nothing is kept it may be said so. */
function errorOf(outcomes: readonly EventOutcome[], cause: unknown): ForebayError {
  if (outcomes.every(({ kind }) => kind === 'not-accepted')) {
    const what = outcomes.length === 1 ? 'the event' : 'the events'
    return new ForebayError('NOT_ACCEPTED', `The log did not take ${what}; nothing was kept. Publish again.`, { cause })
  }
  const message =
    outcomes.length === 1
      ? 'The log did not say whether it took the event. Publish it again with the same id.'
      : 'The log did not take all events, or did not say so: `events` tells of each. Publish those again, with the same ids.'
  return new ForebayError('OUTCOME_UNKNOWN', message, { cause })
}

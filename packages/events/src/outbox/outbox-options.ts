import { type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { EncodedEvent } from '@forebay/protocol/cloudevents'
import type { EventDefinition } from '../define-event.ts'
import { encodeEvent } from '../encode-event.ts'
import type { EventToPublish } from '../event.ts'

export interface OutboxOptions {
  /** Whoever publishes: a URI reference such as '/user-service'. */
  readonly source: string
  /** Name of the table. Default 'forebay_outbox'; its relays' lease is in the table of that name and '_relay'. */
  readonly table?: string
  /** Largest data of one event. Default 1,000,000, which fits into a record of the log as that is by default. */
  readonly dataBytesMax?: number
  readonly clock?: Clock
  readonly random?: Random
}

export type ResolvedOutbox = Readonly<Required<OutboxOptions>>

/** Throws CONFIG_INVALID. */
export function resolveOutbox(given: OutboxOptions): ResolvedOutbox {
  const { table = TABLE_DEFAULT, dataBytesMax = DATA_BYTES_MAX_DEFAULT } = given
  checkTable(table)
  if (!SOURCE.test(given.source)) {
    throw invalid('source', given.source, 'name the service by a URI reference, as in "/user-service"')
  }
  if (!Number.isSafeInteger(dataBytesMax) || dataBytesMax < 1) {
    throw invalid('dataBytesMax', dataBytesMax, 'use a whole number above 0')
  }
  return { ...given, table, dataBytesMax, clock: given.clock ?? systemClock, random: given.random ?? systemRandom }
}

/** Names go into the text of statements. */
export function checkTable(table: string): void {
  if (TABLE.test(table)) return
  throw invalid(
    'table',
    table,
    'use up to 50 lower-case letters, digits and _, with a schema and a dot before it or not',
  )
}

/** Throws EVENT_INVALID that names what cannot be published. */
export function encodeForOutbox<Data>(
  definition: EventDefinition<string, Data>,
  event: EventToPublish<Data>,
  outbox: ResolvedOutbox,
): EncodedEvent {
  const encoded = encodeEvent(definition, event, outbox)
  const { length } = encoded.bytes
  if (length <= outbox.dataBytesMax) return encoded
  throw new ForebayError(
    'EVENT_INVALID',
    `The event's data has ${length} bytes, and dataBytesMax is ${outbox.dataBytesMax}: keep what is large elsewhere and publish where it is.`,
    { members: { field: 'data' } },
  )
}

function invalid(field: string, value: unknown, fix: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `outbox: ${field}: ${fix}, got ${JSON.stringify(value)}.`, {
    members: { field },
  })
}

const TABLE_DEFAULT = 'forebay_outbox'
const DATA_BYTES_MAX_DEFAULT = 1_000_000
const TABLE = /^([a-z_][a-z0-9_]{0,49}\.)?[a-z_][a-z0-9_]{0,49}$/
const SOURCE = /^[\x21-\x7e]{1,200}$/

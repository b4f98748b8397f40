import type { Broker, Clock, RecordToPublish } from '@forebay/broker'
import { ForebayError, toForebayError } from '@forebay/protocol'
import { type EncodedEvent, readHttpEvents } from '@forebay/protocol/cloudevents'
import type { Telemetry } from '../telemetry.ts'
import type { AcceptingEvents } from './accepting-events.ts'
import { type Admission, TASK_OVERHEAD_BYTES } from './admission.ts'
import { FAULTS_MAX } from './body-schema.ts'
import { sendJson } from './http-answers.ts'
import type { Call, Handle } from './http-call.ts'
import type { Authenticate } from './principal.ts'
import { sendProblem } from './problem.ts'
import { type EventOutcome, publishEvents } from './publish-events.ts'
import { readBody } from './read-body.ts'
import type { RequestFields } from './request-fields.ts'
import { traceHeaders } from './trace-context.ts'

/** Events of one request. */
export const BATCH_EVENTS_MAX = 1_000

export interface EventsDoorParts {
  readonly events: AcceptingEvents
  readonly broker: Broker
  readonly authenticate: Authenticate
  /** Whether callers show keys, so that there is a principal to write down. */
  readonly keys: boolean
  readonly admission: Admission
  readonly bodyBytesMax: number
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * POST /v1/events: CloudEvents in, and an answer only when the log has them. All of a batch are looked at before any of them
 * is handed to the log, so one that cannot be taken means that none was.
 */
export function createEventsDoor(parts: EventsDoorParts): Handle {
  const { events, broker, authenticate, keys, admission, bodyBytesMax, clock, telemetry } = parts

  return async (call) => {
    const { request, response, fields } = call
    const caller = authenticate(fields.authorization)
    refuseFieldsOfTasks(fields)
    let held = TASK_OVERHEAD_BYTES
    admission.enter(held)
    try {
      const body = await readBody(request, response, fields, bodyBytesMax, admission)
      held += body.length
      const read = readEvents(call, body)
      // What was read of it, and its records, are in memory beside the body.
      const more = body.length + read.events.length * TASK_OVERHEAD_BYTES
      admission.grow(more)
      held += more
      const records = recordsOf(read, keys ? caller : null)
      const { outcomes, error } = await publishEvents(broker, records)
      outcomes.forEach(({ kind }, index) => {
        if (kind === 'accepted') telemetry.metrics.eventsAccepted.inc({ event: read.events[index]!.type })
      })
      const told = { events: outcomes.map((outcome, index) => tell(read.events[index]!, records[index]!, outcome)) }
      if (error !== null) {
        telemetry.metrics.refused.inc({ code: error.code })
        telemetry.log.warn({ err: error.cause }, 'the log did not take all events of a request')
      }
      if (response.destroyed) return
      if (error === null) sendJson(response, 200, NO_HEADERS, told)
      else sendProblem(response, error, NO_HEADERS, told)
    } finally {
      admission.leave(held)
    }
  }

  function readEvents({ request, fields }: Call, body: Buffer): EventsOfRequest {
    const { contentType = '' } = fields
    const read = readHttpEvents({ headers: request.rawHeaders, contentType, body }, clock.wallMs(), BATCH_EVENTS_MAX)
    if (read.kind === 'unreadable') throw new ForebayError('EVENT_INVALID', read.why)
    if (read.kind === 'too-many') {
      const message = `The batch has ${read.count} events, and ${BATCH_EVENTS_MAX} are taken at once: send several.`
      throw new ForebayError('TASK_TOO_LARGE', message, { members: { limit: BATCH_EVENTS_MAX } })
    }
    const batch = read.kind === 'batch'
    const given = read.kind === 'batch' ? read.events : [read.event]
    const fault = batch ? firstFaults(given, (one) => (typeof one === 'string' ? notAnEvent(one) : null)) : null
    if (fault !== null) throw fault
    const trace = new Map(traceHeaders(fields.traceparent, fields.tracestate))
    const traceparent = trace.get('traceparent') ?? null
    const tracestate = trace.get('tracestate') ?? null
    return {
      batch,
      events: given.map((one) => {
        if (typeof one === 'string') throw notAnEvent(one)
        return one.traceparent === null ? { ...one, traceparent, tracestate } : one
      }),
    }
  }

  function recordsOf({ batch, events: given }: EventsOfRequest, principal: string | null): RecordToPublish[] {
    if (!batch) return given.map((event) => events.record(event, principal))
    const records: RecordToPublish[] = []
    const fault = firstFaults(given, (event) => {
      try {
        records.push(events.record(event, principal))
        return null
      } catch (thrown) {
        return toForebayError(thrown)
      }
    })
    if (fault !== null) throw fault
    return records
  }
}

interface EventsOfRequest {
  readonly batch: boolean
  readonly events: readonly EncodedEvent[]
}

function notAnEvent(why: string): ForebayError {
  return new ForebayError('EVENT_INVALID', why)
}

/** One refusal for a whole batch: its code is that of the first event at fault, and each one is named. */
function firstFaults<Item>(items: readonly Item[], faultOf: (item: Item) => ForebayError | null): ForebayError | null {
  const faults: { readonly index: number; readonly error: ForebayError }[] = []
  for (const [index, item] of items.entries()) {
    const error = faultOf(item)
    if (error !== null) faults.push({ index, error })
  }
  const [first] = faults
  if (first === undefined) return null
  if (first.error.code === 'INTERNAL') return first.error
  const told = faults.slice(0, FAULTS_MAX).map(({ index, error }) => `events[${index}]: ${error.message}`)
  const more = faults.length > FAULTS_MAX ? ` (and ${faults.length - FAULTS_MAX} more)` : ''
  const message = `Nothing of this batch was published. ${told.join(' ')}${more}`
  return new ForebayError(first.error.code, message, { members: { faults: told } })
}

function tell({ id, source, type }: EncodedEvent, { topic }: RecordToPublish, outcome: EventOutcome): object {
  const about = { id, source, type, outcome: outcome.kind, topic }
  if (outcome.kind !== 'accepted' || outcome.position === null) return about
  const { partition, offset } = outcome.position
  return { ...about, partition, offset }
}

/** Silence would pass for a promise: of a delay that is not kept, say. */
function refuseFieldsOfTasks(fields: RequestFields): void {
  for (const [field, header, instead] of FIELDS_OF_TASKS) {
    if (fields[field] === undefined) continue
    throw new ForebayError('BAD_HEADER', `Events have no ${header}: ${instead}.`, { members: { header } })
  }
}

const FIELDS_OF_TASKS = [
  ['key', 'Forebay-Key', 'their ordering key is the attribute partitionkey'],
  ['idempotencyKey', 'Idempotency-Key', 'source and id name an event, and consumers go by them'],
  ['delay', 'Forebay-Delay', 'they are published at once'],
  ['notBefore', 'Forebay-Not-Before', 'they are published at once'],
  ['deadline', 'Forebay-Deadline', 'they do not expire'],
  ['priority', 'Forebay-Priority', 'they come in the order of the log'],
  ['callback', 'Forebay-Callback', 'whoever wants to hear of them consumes them'],
] as const

const NO_HEADERS: readonly string[] = []

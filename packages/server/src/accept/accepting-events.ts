import type { RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type EncodedEvent, toRecord } from '@forebay/protocol/cloudevents'
import { isJson } from '../media-type.ts'
import { nearestName } from '../nearest-name.ts'
import { dataOf } from '../options/resolve-events.ts'
import type { EventTypeOptions } from '../options.ts'
import { type CheckBody, schemaCheck } from './body-schema.ts'
import { checkAttributes, PRINCIPAL_ATTRIBUTE } from './event-attributes.ts'
import { parseJson } from './json-body.ts'
import { isTraceparent } from './trace-context.ts'

/** Turns events of callers into records, or says why not; schemas are compiled once, at the start. */
export interface AcceptingEvents {
  /**
   * `principal`: who publishes it; null for nobody in particular. Throws EVENT_NOT_FOUND, EVENT_INVALID, MALFORMED_JSON,
   * SCHEMA_MISMATCH.
   */
  record(event: EncodedEvent, principal: string | null): RecordToPublish
}

export function acceptingEvents(
  events: ReadonlyMap<string, EventTypeOptions>,
  recordBytesMax: number,
): AcceptingEvents {
  const known = new Map([...events].map(([name, options]) => [name, { options, checks: checksOf(options) }]))
  return {
    record(event, principal) {
      const type = known.get(event.type)
      if (type === undefined) throw eventNotFound(event.type, [...known.keys()])
      checkAttributes(event)
      checkData(event, type.checks)
      const { extensions } = event
      const record = toRecord(
        {
          ...event,
          ...(event.traceparent === null || isTraceparent(event.traceparent)
            ? {}
            : { traceparent: null, tracestate: null }),
          extensions: principal === null ? extensions : { ...extensions, [PRINCIPAL_ATTRIBUTE]: principal },
        },
        type.options.topic,
      )
      const bytes = sizeOf(record)
      if (bytes > recordBytesMax) {
        throw new ForebayError(
          'EVENT_INVALID',
          `The event has ${bytes} bytes, and the log takes ${recordBytesMax}: keep what is large elsewhere and publish where it is.`,
          { members: { limit: recordBytesMax } },
        )
      }
      return record
    },
  }
}

type Checks = ReadonlyMap<number, CheckBody>

function checksOf({ name, schemas }: EventTypeOptions): Checks {
  return new Map([...schemas].map(([version, schema]) => [version, schemaCheck(dataOf(name, version), schema)]))
}

function checkData({ type, version, bytes, contentType }: EncodedEvent, checks: Checks): void {
  const json = isJson(contentType)
  if (checks.size === 0) {
    if (json && bytes.length > 0) parseJson(bytes, 'The data')
    return
  }
  const check = checks.get(version)
  if (check === undefined) {
    const versions = [...checks.keys()].join(', ')
    throw new ForebayError(
      'EVENT_INVALID',
      `The event's dataversion is ${version}, and ${type} is configured with ${versions}.`,
      { members: { field: 'dataversion' } },
    )
  }
  if (!json) {
    throw new ForebayError(
      'EVENT_INVALID',
      `The event's data is ${contentType}, and ${type} has a JSON Schema: send JSON and say so (Content-Type or datacontenttype: application/json).`,
      { members: { field: 'datacontenttype' } },
    )
  }
  check(parseJson(bytes, 'The data'))
}

function eventNotFound(type: string, known: readonly string[]): ForebayError {
  const nearest = nearestName(type, known)
  const named = known.slice(0, NAMES_SHOWN_MAX).join(', ') + (known.length > NAMES_SHOWN_MAX ? ', …' : '')
  const hint =
    known.length === 0
      ? 'This server is configured with none (events: in forebay.yaml).'
      : `Configured are: ${named}.${nearest === null ? '' : ` Did you mean ${nearest}?`}`
  const shown = JSON.stringify(type.slice(0, TYPE_SHOWN_CHARS_MAX))
  return new ForebayError('EVENT_NOT_FOUND', `There is no event ${shown} here. ${hint}`, {
    members: nearest === null ? {} : { nearest },
  })
}

const NAMES_SHOWN_MAX = 20
const TYPE_SHOWN_CHARS_MAX = 100

/** As brokers count it: key, value and headers. */
function sizeOf({ key, value, headers }: RecordToPublish): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, text] of headers) bytes += name.length + text.length
  return bytes
}

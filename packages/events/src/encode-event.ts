import type { Clock, Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { ATTRIBUTES, type EncodedEvent, shown } from '@forebay/protocol/cloudevents'
import type { EventDefinition } from './define-event.ts'
import type { EventToPublish } from './event.ts'

export interface EncodeContext {
  readonly source: string
  readonly clock: Clock
  readonly random: Random
}

/** Fills in what the caller left out. Throws EVENT_INVALID that names what cannot be published. */
export function encodeEvent<Data>(
  definition: EventDefinition<string, Data>,
  given: EventToPublish<Data>,
  { source, clock, random }: EncodeContext,
): EncodedEvent {
  const { data, extensions = {}, subject = null, tracestate = null } = given
  const bytes = definition.schema.encode(data)
  const nowMs = clock.wallMs()
  const timeMs = given.timeMs ?? nowMs
  if (!(timeMs >= 0 && timeMs <= TIME_MS_MAX)) throw invalid('timeMs', timeMs, 'use wall ms since 1970')
  const key = given.key === undefined ? definition.keyOf(data) : given.key
  if (key !== null) checkText('key', key, 'use a text, or null for no order')
  if (given.id !== undefined) checkText('id', given.id, 'use a text of your own, or leave it out')
  if (subject !== null) checkText('subject', subject, 'use a text, or leave it out')
  for (const [name, value] of Object.entries(extensions)) {
    if (!EXTENSION.test(name) || name === 'data' || ATTRIBUTES.has(name)) {
      throw invalid('extensions', name, "use lower-case letters and digits, at most 20, and no attribute's name")
    }
    checkText(`extensions.${name}`, value, 'use a text')
  }
  const traceparent = TRACEPARENT.test(given.traceparent ?? '') ? given.traceparent! : null
  return {
    id: given.id ?? uuidV7(nowMs, random),
    source,
    type: definition.name,
    version: definition.version,
    key,
    timeMs: Math.floor(timeMs),
    subject,
    traceparent,
    tracestate: traceparent === null || tracestate === '' ? null : tracestate,
    extensions,
    bytes,
    contentType: definition.schema.contentType,
    dataSchema: definition.schema.dataSchema ?? `urn:forebay:event:${definition.name}:${definition.version}`,
  }
}

function checkText(field: string, value: unknown, fix: string): void {
  if (typeof value === 'string' && value !== '' && value.length <= TEXT_CHARS_MAX && !CONTROL.test(value)) return
  throw invalid(field, value, `${fix}; not empty, at most ${TEXT_CHARS_MAX} characters, no control characters`)
}

function invalid(field: string, value: unknown, fix: string): ForebayError {
  const got = typeof value === 'string' ? shown(value) : String(value)
  return new ForebayError('EVENT_INVALID', `The event's ${field} is ${got}: ${fix}.`, { members: { field } })
}

/** RFC 9562: 48 bits of time, then chance; so ids of one producer sort as they were made, to the millisecond. */
function uuidV7(timeMs: number, random: Random): string {
  const bytes = Buffer.alloc(16)
  random.fill(bytes)
  bytes.writeUIntBE(timeMs, 0, 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Of a key, an id, a subject or an extension. */
const TEXT_CHARS_MAX = 1_024
/** The year 9999, after which times have another form. */
const TIME_MS_MAX = 253_402_300_799_999
const EXTENSION = /^[a-z0-9]{1,20}$/
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]*)?$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for; CloudEvents allows none in a text
const CONTROL = /[\x00-\x1f\x7f-\x9f]/

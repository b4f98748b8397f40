import type { EncodedEvent } from './encoded-event.ts'

/** What stands in for attributes that an event need not have. */
export interface AttributeDefaults {
  /** Of the record that carries it. */
  readonly key: string | null
  readonly timeMs: number
  /** Refuses a `time` that is no RFC 3339. Default false: that of the record stands in, as the record is there already. */
  readonly strictTime?: boolean
}

/** From attributes as CloudEvents names them, however they came. A sentence where they make no event. */
export function fromAttributes(
  attributes: ReadonlyMap<string, string>,
  contentType: string,
  bytes: Uint8Array,
  defaults: AttributeDefaults,
): EncodedEvent | string {
  const missing = ['specversion', 'id', 'source', 'type'].filter((name) => (attributes.get(name) ?? '') === '')
  if (missing.length > 0) return `It is no CloudEvent: it has no ${missing.join(', ')}.`
  const specversion = attributes.get('specversion')!
  if (specversion !== '1.0') return `Its specversion is ${shown(specversion)}, not 1.0.`
  const version = attributes.get('dataversion') ?? '1'
  if (!VERSION.test(version)) return `Its dataversion ${shown(version)} is no version.`
  const time = attributes.get('time')
  const timeMs = Date.parse(time ?? '')
  if (defaults.strictTime && time !== undefined && !(RFC_3339.test(time) && timeMs >= 0 && timeMs <= TIME_MS_MAX)) {
    return `Its time ${shown(time)} is no moment as RFC 3339 writes it, from 1970 on.`
  }
  const extensions: Record<string, string> = {}
  for (const [name, value] of attributes) if (!ATTRIBUTES.has(name)) extensions[name] = value
  return {
    id: attributes.get('id')!,
    source: attributes.get('source')!,
    type: attributes.get('type')!,
    version: Number(version),
    key: attributes.get('partitionkey') ?? defaults.key,
    timeMs: Number.isNaN(timeMs) ? defaults.timeMs : timeMs,
    subject: attributes.get('subject') ?? null,
    traceparent: attributes.get('traceparent') ?? null,
    tracestate: attributes.get('tracestate') ?? null,
    extensions,
    bytes,
    contentType: contentType === '' ? 'application/json' : contentType,
    dataSchema: attributes.get('dataschema') ?? null,
  }
}

/** A name of an attribute. We write at most 20 characters, and read what others write. */
export const ATTRIBUTE_NAME = /^[a-z0-9]+$/

/** All that are no extensions of the caller's. */
export const ATTRIBUTES: ReadonlySet<string> = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'time',
  'subject',
  'dataschema',
  'dataversion',
  'datacontenttype',
  'partitionkey',
  'traceparent',
  'tracestate',
])

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
/** The year 9999, after which times have another form. */
const TIME_MS_MAX = 253_402_300_799_999
const VERSION = /^[1-9]\d{0,8}$/

/** What a stranger wrote, short enough for a sentence. */
export function shown(value: string): string {
  return JSON.stringify(value.slice(0, SHOWN_CHARS_MAX))
}
const SHOWN_CHARS_MAX = 64

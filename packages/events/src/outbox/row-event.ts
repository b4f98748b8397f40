import { ATTRIBUTE_NAME, ATTRIBUTES, type EncodedEvent, fromAttributes, shown } from '@forebay/protocol/cloudevents'
import type { OutboxRow } from './outbox-rows.ts'

/** What goes into `attributes` of a row: those that have no column of their own. */
export function attributesOf({ subject, traceparent, tracestate, dataSchema, extensions }: EncodedEvent): string {
  return JSON.stringify({
    ...extensions,
    ...(subject === null ? {} : { subject }),
    ...(traceparent === null ? {} : { traceparent }),
    ...(tracestate === null ? {} : { tracestate }),
    ...(dataSchema === null ? {} : { dataschema: dataSchema }),
  })
}

/** Rows are also written by other languages: a sentence where one makes no event. */
export function eventOfRow(row: OutboxRow): EncodedEvent | string {
  const attributes = new Map<string, string>()
  const given: unknown = JSON.parse(row.attributes)
  if (typeof given !== 'object' || given === null) return 'Its attributes are no object.'
  for (const [name, value] of Object.entries(given)) {
    if (!ATTRIBUTE_NAME.test(name) || typeof value !== 'string') return `Its attribute ${shown(name)} is none.`
    if (ATTRIBUTES.has(name) && !BESIDE_COLUMNS.has(name))
      return `Its attribute ${shown(name)} has a column of its own.`
    attributes.set(name, value)
  }
  attributes.set('specversion', '1.0')
  attributes.set('id', row.id)
  attributes.set('source', row.source)
  attributes.set('type', row.type)
  attributes.set('dataversion', String(row.version))
  return fromAttributes(attributes, row.contentType, row.data, { key: row.key, timeMs: row.timeMs })
}

const BESIDE_COLUMNS: ReadonlySet<string> = new Set(['subject', 'traceparent', 'tracestate', 'dataschema'])

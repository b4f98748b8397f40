import type { EventDefinition } from '../define-event.ts'
import { type Json, ref, SCHEMAS_AT } from './json.ts'

/** Names a version of an event within a document. */
export function messageName({ name, version }: Pick<EventDefinition, 'name' | 'version'>): string {
  return `${name}.v${version}`
}

/** As CloudEvents' Kafka binding writes it (docs/events.md): the data as the value, attributes as headers. */
export function eventMessage(event: EventDefinition): Json {
  const { name, version, description, schema, isKeyed } = event
  return {
    name,
    title: `${name}, version ${version}`,
    ...(description === '' ? {} : { summary: description }),
    contentType: schema.contentType,
    headers: cloudEventHeaders({
      ce_type: { const: name },
      ce_source: { format: 'uri-reference', description: 'The service that published it.' },
      ce_dataversion: { const: String(version), description: 'Version of the data’s schema.' },
      'content-type': { const: schema.contentType },
    }),
    payload: ref(SCHEMAS_AT, messageName(event)),
    bindings: { kafka: { ...(isKeyed ? { key: ORDERING_KEY } : {}), bindingVersion: '0.5.0' } },
  }
}

/** What each record has that is a CloudEvent; `known` says more of some headers, or adds some. */
export function cloudEventHeaders(known: Readonly<Record<string, Json>>): Json {
  const properties: Record<string, Json> = {
    ce_specversion: { const: '1.0' },
    ce_id: { minLength: 1, description: 'Unique within the source; the same each time it is delivered.' },
    ce_source: { format: 'uri-reference' },
    ce_type: {},
    ce_time: { format: 'date-time' },
    'content-type': { description: 'Media type of the value.' },
    ...known,
    ce_subject: { description: 'What it is about.', ...known.ce_subject },
    ce_dataschema: { format: 'uri-reference', description: 'Where its schema is to be found.' },
    ce_partitionkey: { description: 'The ordering key once more.' },
    ce_traceparent: { description: 'W3C trace context of whoever published it.' },
    ce_tracestate: {},
  }
  return {
    type: 'object',
    required: REQUIRED,
    properties: Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, { type: 'string', ...one }])),
  }
}

/** Without the others a record is a CloudEvent as well. */
const REQUIRED = ['ce_specversion', 'ce_id', 'ce_source', 'ce_type']
export const ORDERING_KEY = {
  type: 'string',
  minLength: 1,
  maxLength: 1024,
  description: 'Ordering key: records of one key stay in order. Partition by murmur2, as Java’s client has it.',
}

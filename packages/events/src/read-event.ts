import type { LogRecord } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { fromRecord, typeOfRecord } from '@forebay/protocol/cloudevents'
import type { EventDefinition } from './define-event.ts'
import type { Event } from './event.ts'

export type ReadEvent =
  | { readonly kind: 'event'; readonly event: Event }
  /** Of a type that is not among the definitions: somebody else's. */
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'undecodable'; readonly why: string }
  /** By a schema that is still to be fetched: to be read again when `until` settles. */
  | { readonly kind: 'waiting'; readonly why: string; readonly until: Promise<unknown> }

/** Reads records by the definitions of their types and versions. Never throws: topics hold what anybody wrote. */
export function eventReader(definitions: readonly EventDefinition[]): (record: LogRecord) => ReadEvent {
  const byType = new Map<string, Map<number, EventDefinition>>()
  for (const definition of definitions) {
    const versions = byType.get(definition.name) ?? new Map<number, EventDefinition>()
    byType.set(definition.name, versions.set(definition.version, definition))
  }

  return (record) => {
    // Not even whole events of others are looked at.
    const type = typeOfRecord(record)
    if (type !== null && !byType.has(type)) return unknown(type)
    const encoded = fromRecord(record)
    if (typeof encoded === 'string') return { kind: 'undecodable', why: encoded }
    const versions = byType.get(encoded.type)
    if (versions === undefined) return unknown(encoded.type)
    const definition = versions.get(encoded.version)
    if (definition === undefined) {
      const known = [...versions.keys()].join(', ')
      const why = `Version ${encoded.version} of ${encoded.type} is not among the events of this group (it knows ${known}).`
      return { kind: 'undecodable', why }
    }
    const { bytes, contentType: _contentType, dataSchema: _dataSchema, ...attributes } = encoded
    const until = definition.schema.ready?.(bytes) ?? null
    if (until !== null) return { kind: 'waiting', why: 'The schema it was written by is still to be fetched.', until }
    try {
      return { kind: 'event', event: { ...attributes, data: definition.schema.decode(bytes) } }
    } catch (error) {
      const why = error instanceof ForebayError ? error.message : `The data cannot be read: ${String(error)}.`
      return { kind: 'undecodable', why }
    }
  }
}

function unknown(type: string): ReadEvent {
  return {
    kind: 'unknown',
    why: `Nobody in this group handles events of the type ${JSON.stringify(type.slice(0, 200))}.`,
  }
}

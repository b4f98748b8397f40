import { ForebayError } from '@forebay/protocol'
import type { Static, TSchema } from 'typebox'
import type { Event } from './event.ts'
import { jsonSchema } from './json-schema.ts'
import type { EventSchema } from './schema.ts'

/** One version of one event, the same at its producer and at every consumer. */
export interface EventDefinition<Name extends string = string, Data = unknown, Version extends number = number> {
  readonly name: Name
  /** From 1; data of another shape is another version. */
  readonly version: Version
  /** Default 'forebay.events.<name>'. Events that must keep one order share a topic. */
  readonly topic: string
  readonly schema: EventSchema<Data>
  /** One sentence for people. */
  readonly description: string
  /** Whether `keyOf` may give a key at all, for those who describe the event. */
  readonly isKeyed: boolean
  /** Ordering key; null: no order. */
  keyOf(data: Data): string | null
}

export type DataOf<Definition> = Definition extends EventDefinition<string, infer Data> ? Data : never

/** What a handler gets: of several definitions a union, which `type` and `version` tell apart. */
export type EventOf<Definition> =
  Definition extends EventDefinition<infer Name, infer Data, infer Version> ? Event<Data, Name, Version> : never

export interface EventOptions<Data, Version extends number = number> {
  /** Default 1. */
  readonly version?: Version
  readonly topic?: string
  readonly description?: string
  /** Default: no key, so no order. */
  readonly key?: (data: Data) => string | null
}

// An `EventSchema` first: by its type any object could be a TypeBox schema.
/**
 * Says once what an event is: `schema` is a TypeBox schema (a JSON Schema that knows its TypeScript type), or an
 * `EventSchema` of another format. Throws CONFIG_INVALID for a name, version or topic that cannot be one.
 */
export function defineEvent<const Name extends string, Data, const Version extends number = 1>(
  name: Name,
  options: EventOptions<Data, Version> & { readonly schema: EventSchema<Data> },
): EventDefinition<Name, Data, Version>
export function defineEvent<const Name extends string, const Schema extends TSchema, const Version extends number = 1>(
  name: Name,
  options: EventOptions<Static<Schema>, Version> & { readonly schema: Schema },
): EventDefinition<Name, Static<Schema>, Version>
export function defineEvent<Data>(
  name: string,
  options: EventOptions<Data> & { readonly schema: TSchema | EventSchema<Data> },
): EventDefinition<string, Data> {
  const { version = 1, topic = `forebay.events.${name}`, description = '', key } = options
  if (!NAME.test(name)) throw invalid('name', name, 'use up to 100 letters, digits, _ . and -, and begin with a letter')
  if (!Number.isInteger(version) || version < 1 || version > VERSION_MAX) {
    throw invalid('version', version, `must be a whole number from 1 to ${VERSION_MAX}`)
  }
  if (!TOPIC.test(topic)) throw invalid('topic', topic, 'use up to 249 letters, digits, . _ and -')
  const given = isEventSchema<Data>(options.schema) ? options.schema : jsonSchema<Data>(options.schema)
  const schema = given.forEvent?.({ name, topic }) ?? given
  const isKeyed = key !== undefined
  return { name, version, topic, schema, description, isKeyed, keyOf: key ?? (() => null) }
}

const NAME = /^[A-Za-z][\w.-]{0,99}$/
const VERSION_MAX = 999_999_999
const TOPIC = /^(?!\.\.?$)[\w.-]{1,249}$/

function isEventSchema<Data>(schema: TSchema | EventSchema<Data>): schema is EventSchema<Data> {
  return 'encode' in schema && typeof schema.encode === 'function'
}

function invalid(field: string, value: unknown, fix: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `defineEvent: ${field}: ${fix}, got ${JSON.stringify(value)}.`, {
    members: { field },
  })
}

import { ForebayError } from '@forebay/protocol'
import { messageName } from '../asyncapi/event-message.ts'
import type { EventDefinition } from '../define-event.ts'
import { avroProblems } from './avro-inclusion.ts'
import { type DescribedEvent, type DescribedSchema, describeDefinition, describeDocument } from './described-event.ts'
import { type InclusionOptions, inclusionProblems } from './inclusion.ts'
import type { Problem } from './place.ts'
import { protobufProblems } from './protobuf-inclusion.ts'
import { schemaChanges } from './schema-changes.ts'

/** Definitions, what `describeDefinition` and its like say of some, or an AsyncAPI 3 document. */
export type EventsToCheck = readonly (EventDefinition | DescribedEvent)[] | Readonly<Record<string, unknown>>

export interface CompatibilityReport {
  /** No event breaks anybody, and everything could be decided. */
  readonly compatible: boolean
  /** By name and version. */
  readonly events: readonly EventReport[]
}

export interface EventReport {
  readonly name: string
  readonly version: number
  readonly state: 'same' | 'changed' | 'added' | 'removed'
  /** What differs, whether or not it breaks anybody: 'required: + email'. */
  readonly changes: readonly string[]
  readonly breaks: readonly Break[]
  /** What to know about it, and what no comparison can tell. */
  readonly notes: readonly string[]
}

export interface Break extends Problem {
  /** BACKWARD: consumers with the new definitions read old events. FORWARD: those with the old ones read new events. */
  readonly direction: 'BACKWARD' | 'FORWARD'
}

/**
 * Compares two states of the same events: whom would it break if the second were put in the place of the first, while old
 * events are still in the log and consumers change one after the other? A version that stands in both must be readable
 * both ways; a new version is a definition of its own. Throws CONFIG_INVALID for what describes no events.
 */
export function checkEvents(
  before: EventsToCheck,
  after: EventsToCheck,
  options: InclusionOptions = {},
): CompatibilityReport {
  const [old, now] = [byName(before), byName(after)]
  const names = [...new Set([...old.keys(), ...now.keys()])].sort()
  const events = names.map((name) => reportOf(old.get(name), now.get(name), now, options))
  return { compatible: events.every(({ breaks }) => breaks.length === 0), events }
}

/** Throws an error that says every break; for tests. */
export function assertCompatible(before: EventsToCheck, after: EventsToCheck, options: InclusionOptions = {}): void {
  const { events } = checkEvents(before, after, options)
  const told = events.flatMap(({ name, version, breaks }) =>
    breaks.map(
      ({ direction, path, message }) => `${name} v${version} ${direction} ${path === '' ? '/' : path}: ${message}`,
    ),
  )
  if (told.length > 0)
    throw new ForebayError('EVENT_INVALID', `The events changed in ways that break:\n${told.join('\n')}`)
}

function byName(given: EventsToCheck): ReadonlyMap<string, DescribedEvent> {
  const described = Array.isArray(given)
    ? (given as readonly (EventDefinition | DescribedEvent)[]).map((one) =>
        'keyOf' in one ? describeDefinition(one) : one,
      )
    : describeDocument(given)
  const events = new Map<string, DescribedEvent>()
  for (const event of described) {
    const name = messageName(event)
    if (events.has(name)) throw new ForebayError('CONFIG_INVALID', `${name} is described twice.`)
    events.set(name, event)
  }
  return events
}

function reportOf(
  old: DescribedEvent | undefined,
  now: DescribedEvent | undefined,
  all: ReadonlyMap<string, DescribedEvent>,
  options: InclusionOptions,
): EventReport {
  const { name, version } = (now ?? old)!
  if (old === undefined) return { name, version, state: 'added', changes: [], breaks: [], notes: [ADDED] }
  if (now === undefined) return { name, version, state: 'removed', changes: [], breaks: [removed(old, all)], notes: [] }
  const changes = [...placeChanges(old, now), ...schemaChanges(old.schema, now.schema)]
  const state = changes.length === 0 ? 'same' : 'changed'
  const breaks = [...placeBreaks(old, now), ...schemaBreaks(old.schema, now.schema, options)]
  return { name, version, state, changes, breaks, notes: notesOf(old, now, breaks) }
}

const ADDED = 'new: deploy consumers that list it before the producers that write it'

function removed({ name, version }: DescribedEvent, all: ReadonlyMap<string, DescribedEvent>): Break {
  const isGone = ![...all.values()].some((event) => event.name === name)
  const message = isGone
    ? 'the event is removed: consumers pass over those that are still in the log'
    : `version ${version} is removed: those that are still in the log become dead letters`
  return { direction: 'BACKWARD', path: '', message, isCertain: true }
}

function placeChanges(old: DescribedEvent, now: DescribedEvent): readonly string[] {
  const changes: string[] = []
  if (isOther(old.topic, now.topic)) changes.push(`topic: ${old.topic} → ${now.topic}`)
  if (isOther(old.isKeyed, now.isKeyed))
    changes.push(now.isKeyed ? 'key: + there is one' : 'key: - there is none any more')
  return changes
}

function placeBreaks(old: DescribedEvent, now: DescribedEvent): readonly Break[] {
  const breaks: Break[] = []
  const says = (direction: Break['direction'], message: string) =>
    breaks.push({ direction, path: '', message, isCertain: true })
  if (isOther(old.topic, now.topic)) {
    says('FORWARD', `consumers of the topic ${old.topic} do not see what is published to ${now.topic}`)
    says('BACKWARD', `consumers of the topic ${now.topic} do not see what is still in ${old.topic}`)
  }
  if (old.isKeyed === true && now.isKeyed === false) says('FORWARD', 'consumers that count on an order lose it')
  return breaks
}

function schemaBreaks(old: DescribedSchema, now: DescribedSchema, options: InclusionOptions): readonly Break[] {
  return [
    ...problemsOf(now, old, 'BACKWARD', options).map((problem) => ({ direction: 'BACKWARD' as const, ...problem })),
    ...problemsOf(old, now, 'FORWARD', options).map((problem) => ({ direction: 'FORWARD' as const, ...problem })),
  ]
}

function problemsOf(
  reader: DescribedSchema,
  writer: DescribedSchema,
  direction: Break['direction'],
  options: InclusionOptions,
): readonly Problem[] {
  if (reader.format === 'json' && writer.format === 'json') return inclusionProblems(reader, writer, options)
  if (reader.format === 'avro' && writer.format === 'avro') return avroProblems(reader, writer)
  if (reader.format === 'protobuf' && writer.format === 'protobuf') {
    return protobufProblems(reader, writer, direction === 'BACKWARD' ? 'reader-is-newer' : 'writer-is-newer')
  }
  return [{ path: '', message: `is written as ${writer.format} and read as ${reader.format}`, isCertain: true }]
}

function notesOf(old: DescribedEvent, now: DescribedEvent, breaks: readonly Break[]): readonly string[] {
  const notes: string[] = []
  if (breaks.length > 0) notes.push(`make it version ${now.version + 1}, beside this one`)
  if (now.schema.format === 'avro' && schemaChanges(old.schema, now.schema).length > 0) {
    notes.push('Avro data does not say its schema: only readers with a schema registry can tell the two apart')
  }
  if (old.isKeyed !== false && now.isKeyed !== false) notes.push('what its key is made of cannot be compared')
  return notes
}

function isOther<Value>(old: Value | null, now: Value | null): boolean {
  return old !== null && now !== null && old !== now
}

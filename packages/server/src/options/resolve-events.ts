import { schemaCheck } from '../accept/body-schema.ts'
import type { EventTypeOptions, QueueOptions } from '../options.ts'
import type { ReadOptions } from '../options-schema.ts'
import { deadTopic, eventTopic, isAgainTopic } from '../topics.ts'
import { type Place, quote } from './field.ts'
import type { FileReader } from './file-reader.ts'
import { ownTopics } from './resolve-queues.ts'

const RETENTION_DEFAULT_MS = 7 * 24 * 3_600_000

export function resolveEvents(
  read: ReadOptions,
  queues: ReadonlyMap<string, QueueOptions>,
  place: Place,
  files: FileReader,
): ReadonlyMap<string, EventTypeOptions> {
  const events = new Map<string, EventTypeOptions>()
  for (const [name, given] of read.events) {
    events.set(name, {
      name,
      topic: given.topic ?? eventTopic(name),
      partitions: given.partitions ?? read.partitions,
      retentionMs: given.retention ?? RETENTION_DEFAULT_MS,
      schemas: resolveSchemas(name, given.schemas, place.at(name, 'schemas'), files),
    })
  }
  refuseTakenTopics(events, queues, place)
  refuseDifferences(events, read, place)
  return events
}

function resolveSchemas(
  event: string,
  given: ReadonlyMap<string, string | object | null>,
  place: Place,
  files: FileReader,
): ReadonlyMap<number, object> {
  const schemas = new Map<number, object>()
  for (const [version, written] of given) {
    const at = place.at(version)
    const schema = typeof written === 'string' ? files.json(written, at) : written
    if (schema === null) {
      if (written === null) at.refuse(null, 'Nothing is named here.', 'Name a file with a JSON Schema.')
      continue
    }
    try {
      schemaCheck(dataOf(event, Number(version)), schema)
      schemas.set(Number(version), schema)
    } catch (error) {
      at.refuse(written, `${(error as Error).message.replace(/\.$/, '')}.`, 'Mend the schema.')
    }
  }
  return schemas
}

/** How the data of an event is spoken of when it does not meet its schema. */
export function dataOf(event: string, version: number) {
  return {
    subject: 'The data',
    root: 'the data',
    schema: `the schema of ${event}, version ${version}`,
    field: `events.${event}.schemas.${version}`,
    members: { event, version },
  }
}

/**
 * What a queue hands in is no event, and what is published is no task: so neither may have the other's topic, nor one of
 * Forebay's own, nor one that dead letters go to.
 */
function refuseTakenTopics(
  events: ReadonlyMap<string, EventTypeOptions>,
  queues: ReadonlyMap<string, QueueOptions>,
  place: Place,
): void {
  const owners = ownTopics()
  for (const { name, topic, resultTopic } of queues.values()) {
    owners.set(topic, `the queue ${quote(name)}`)
    owners.set(deadTopic(topic), `the dead letters of the queue ${quote(name)}`)
    if (resultTopic !== null) owners.set(resultTopic, `the results of the queue ${quote(name)}`)
  }
  for (const { name, topic } of events.values()) {
    const at = place.at(name, 'topic')
    const owner = owners.get(topic)
    if (owner !== undefined) at.refuse(topic, `The topic ${topic} is used by ${owner} already.`, FIX)
    else if (isAgainTopic(topic)) at.refuse(topic, `The topic ${topic} is for events that come again.`, FIX)
    else if (topic.endsWith(DEAD_SUFFIX)) {
      at.refuse(topic, `The topic ${topic} has a name of dead letters (it ends in ${DEAD_SUFFIX}).`, FIX)
    }
  }
}

const FIX = 'Name another topic.'
const DEAD_SUFFIX = deadTopic('')

/** Events that share a topic share what it is made with. */
function refuseDifferences(events: ReadonlyMap<string, EventTypeOptions>, read: ReadOptions, place: Place): void {
  const first = new Map<string, EventTypeOptions>()
  for (const event of events.values()) {
    const other = first.get(event.topic)
    if (other === undefined) {
      first.set(event.topic, event)
      continue
    }
    for (const [field, key] of [
      ['partitions', 'partitions'],
      ['retention', 'retentionMs'],
    ] as const) {
      if (event[key] === other[key]) continue
      const given = read.events.get(event.name)?.[field] ?? null
      const message = `The event ${quote(other.name)} has the same topic (${event.topic}) with another ${field}.`
      place.at(event.name, field).refuse(given, message, `Give both the same ${field}.`)
    }
  }
}

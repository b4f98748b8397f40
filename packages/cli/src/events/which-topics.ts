import type { Broker, PartitionState } from '@forebay/broker'
import type { ServerOptions } from '@forebay/server/configuration'
import { CommandError, EXIT } from '../exit-codes.ts'

/** What a person named: a topic, or an event, whose topic it may share with others. */
export interface Subject {
  readonly topic: string
  /** Null: whatever is in the topic. */
  readonly type: string | null
}

/** By the names of the configuration, else as topics; nothing named means all that is configured. */
export function subjectsOf(names: readonly string[], { events }: Pick<ServerOptions, 'events'>): readonly Subject[] {
  if (names.length > 0) {
    return names.map((name) => ({ topic: events.get(name)?.topic ?? name, type: events.has(name) ? name : null }))
  }
  if (events.size === 0) {
    throw new CommandError(EXIT.usage, 'No events are configured here: name a topic.', {
      fix: ['forebay events tail forebay.events.account_created'],
    })
  }
  return [...new Set([...events.values()].map(({ topic }) => topic))].map((topic) => ({ topic, type: null }))
}

/** The partitions of topics, which have to be there. What is no topic may be an event's name: then its default topic. */
export async function partitionsOf(
  broker: Broker,
  subjects: readonly Subject[],
): Promise<{ readonly subjects: readonly Subject[]; readonly partitions: readonly PartitionState[] }> {
  const named = subjects.flatMap(({ topic, type }) => (type === null ? [topic, DEFAULT_PREFIX + topic] : [topic]))
  const partitions = await broker.inspect({ topics: [...new Set(named)] })
  const there = new Set(partitions.map(({ topic }) => topic))
  const found = subjects.map((subject) => {
    if (there.has(subject.topic)) return subject
    const topic = DEFAULT_PREFIX + subject.topic
    if (subject.type === null && there.has(topic)) return { topic, type: subject.topic }
    throw new CommandError(EXIT.notFound, `The log has no topic ${subject.topic}.`, {
      fix: ['It is made by whoever publishes or consumes first, or by a server that names the event under `events`.'],
    })
  })
  const wanted = new Set(found.map(({ topic }) => topic))
  return { subjects: found, partitions: partitions.filter(({ topic }) => wanted.has(topic)) }
}

const DEFAULT_PREFIX = 'forebay.events.'

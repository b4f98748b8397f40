import type { Broker, TopicSpec } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { againTopic } from './again/again-topic.ts'
import type { EventDefinition } from './define-event.ts'

/** A log that several producers and consumers of one process share. */
export interface EventLog extends AsyncDisposable {
  readonly broker: Broker
  /** Those that it made sure of. */
  readonly topics: ReadonlySet<string>
  /** After its producers and consumers. Safe to call twice. */
  close(): Promise<void>
}

export interface EventLogOptions extends TopicOptions {
  /** Not open yet. */
  readonly broker: Broker
  readonly events: readonly EventDefinition[]
  /** Of consumers: their dead letters, and what they are given again, have topics of their own. Default: none. */
  readonly groups?: readonly string[]
}

export interface TopicOptions {
  /** Partitions of topics that have to be made. Default 12. */
  readonly partitions?: number
  /** How long events are kept in topics that have to be made. Default 7 days. ms */
  readonly retentionMs?: number
}

/** Opens a broker once for all: the embedded log has one owner. Rejects as `Broker.open` does. */
export async function openEventLog({ broker, events, groups = [], ...given }: EventLogOptions): Promise<EventLog> {
  const topics = topicsOf(events, groups, given)
  await broker.open({ topics })
  return {
    broker,
    topics: new Set(topics.map(({ name }) => name)),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}

/** A broker of one's own is opened, and closed by `close`; a log that others share is left as it is. */
export async function useLog(
  given: Broker | EventLog,
  topics: readonly TopicSpec[],
): Promise<{ readonly broker: Broker; close(): Promise<void> }> {
  if (!isEventLog(given)) {
    await given.open({ topics })
    return { broker: given, close: () => given.close() }
  }
  const missing = topics.filter(({ name }) => !given.topics.has(name)).map(({ name }) => name)
  if (missing.length > 0) {
    const fix = 'name all events, and the groups of all consumers, where it is opened'
    throw new ForebayError('CONFIG_INVALID', `openEventLog: it has no topic ${missing.join(', ')}: ${fix}.`)
  }
  return { broker: given.broker, close: async () => {} }
}

export function topicsOf(
  events: readonly EventDefinition[],
  groups: readonly string[],
  given: TopicOptions,
): readonly TopicSpec[] {
  const names = [...new Set(events.map(({ topic }) => topic))]
  return [...eventTopics(names, given), ...groups.flatMap((group) => groupTopics(names, group))]
}

export function eventTopics(names: readonly string[], given: TopicOptions): readonly TopicSpec[] {
  const { partitions = PARTITIONS_DEFAULT, retentionMs = RETENTION_MS_DEFAULT } = given
  return names.map((name) => ({ name, partitions, retentionMs }))
}

/** What a group has for itself. */
export function groupTopics(names: readonly string[], group: string): readonly TopicSpec[] {
  const dead = names.map((name) => deadTopicOf(name, group))
  return [
    ...dead.map((name) => ({ name, partitions: DEAD_PARTITIONS, retentionMs: 'forever' as const })),
    againTopic(group),
  ]
}

/** Each group has its own: its failures are not another's. A group's name has no dot, so no two are the same. */
export function deadTopicOf(topic: string, group: string): string {
  return `${topic}.${group}.dead`
}

const PARTITIONS_DEFAULT = 12
const RETENTION_MS_DEFAULT = 7 * 24 * 3_600_000
const DEAD_PARTITIONS = 1

function isEventLog(given: Broker | EventLog): given is EventLog {
  return 'broker' in given
}

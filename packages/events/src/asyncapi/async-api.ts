import { ForebayError } from '@forebay/protocol'
import type { EventDefinition } from '../define-event.ts'
import { deadTopicOf } from '../event-log.ts'
import { eventMessage, messageName } from './event-message.ts'
import { type Json, MESSAGES_AT, pointerText, ref } from './json.ts'
import { payloadSchema } from './payload-schema.ts'
import { type AsyncApiQueue, queueParts } from './queue-parts.ts'

/** A part of a document, as AsyncAPI 3.0 has it. */
export type AsyncApiDocument = Json

export interface AsyncApiOptions {
  /** AsyncAPI's own object: `title` and `version` of the document at least. */
  readonly info: { readonly title: string; readonly version: string } & Json
  /** By a name of yours; none: where the log is remains unsaid. */
  readonly servers?: Readonly<Record<string, AsyncApiServer>>
  /** All versions that are in use. Those of `services` need not be named again. */
  readonly events?: readonly EventDefinition[]
  /** Who publishes and who reads, by the name of the service; a reader's name is that of its group. */
  readonly services?: Readonly<Record<string, AsyncApiService>>
  /** Task queues: requests on the topic of the queue, and replies where it has a result topic. */
  readonly queues?: Iterable<AsyncApiQueue>
}

export interface AsyncApiServer {
  /** 'host:port' */
  readonly host: string
  /** Default 'kafka'. */
  readonly protocol?: 'kafka' | 'kafka-secure'
  readonly description?: string
  /** Ways to be let in, any of which will do, by the names of AsyncAPI. */
  readonly security?: readonly ('plain' | 'scramSha256' | 'scramSha512' | 'gssapi' | 'X509' | 'userPassword')[]
}

export interface AsyncApiService {
  readonly publishes?: readonly EventDefinition[]
  readonly subscribes?: readonly EventDefinition[]
}

/**
 * An AsyncAPI 3.0 document: a channel for each topic, a message for each version of an event, an operation for each
 * topic that a service sends to or receives from. Throws CONFIG_INVALID where two definitions are of one version.
 */
export function asyncApi(options: AsyncApiOptions): AsyncApiDocument {
  const services = Object.entries(options.services ?? {})
  const events = distinct([
    ...(options.events ?? []),
    ...services.flatMap(([, { publishes = [], subscribes = [] }]) => [...publishes, ...subscribes]),
  ])
  const ofEvents = {
    channels: eventChannels(events),
    messages: entries(events, eventMessage),
    schemas: entries(events, (event) => payloadSchema(event.schema, messageName(event))),
    operations: Object.assign({}, ...services.map(([name, service]) => operations(name, service))) as Json,
  }
  const ofQueues = queueParts(options.queues ?? [])
  refuseSharedTopics(ofEvents.channels, ofQueues.channels)
  const { servers, securitySchemes } = serverParts(options.servers ?? {})
  return {
    asyncapi: '3.0.0',
    info: options.info,
    defaultContentType: 'application/json',
    ...(options.servers === undefined ? {} : { servers }),
    channels: { ...ofEvents.channels, ...ofQueues.channels },
    operations: { ...ofEvents.operations, ...ofQueues.operations },
    components: {
      messages: { ...ofEvents.messages, ...ofQueues.messages },
      schemas: { ...ofEvents.schemas, ...ofQueues.schemas },
      ...(Object.keys(securitySchemes).length > 0 ? { securitySchemes } : {}),
    },
  }
}

/** Each once, in the order of name and version, so that the same definitions make the same document. */
function distinct(given: readonly EventDefinition[]): readonly EventDefinition[] {
  const events = new Map<string, EventDefinition>()
  for (const event of given) {
    const name = messageName(event)
    const other = events.get(name)
    if (other !== undefined && other !== event) {
      throw new ForebayError('CONFIG_INVALID', `asyncApi: there are two definitions of ${name}; give one of them.`)
    }
    events.set(name, event)
  }
  return [...events.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version - b.version))
}

function entries(events: readonly EventDefinition[], partOf: (event: EventDefinition) => unknown): Json {
  return Object.fromEntries(events.map((event) => [messageName(event), partOf(event)]))
}

function eventChannels(events: readonly EventDefinition[]): Json {
  return Object.fromEntries(
    [...Map.groupBy(events, ({ topic }) => topic)].map(([topic, ofTopic]) => [
      topic,
      {
        address: topic,
        description: `Events: ${[...new Set(ofTopic.map(({ name }) => name))].join(', ')}.`,
        messages: entries(ofTopic, (event) => ref(MESSAGES_AT, messageName(event))),
        bindings: { kafka: { topic, bindingVersion: '0.5.0' } },
      },
    ]),
  )
}

function operations(service: string, { publishes = [], subscribes = [] }: AsyncApiService): Json {
  const parts = [...byTopic(publishes, 'send'), ...byTopic(subscribes, 'receive')]
  return Object.fromEntries(
    parts.map(({ action, topic, events }) => [
      `${service}.${action}.${topic}`,
      {
        action,
        channel: ref('#/channels', topic),
        title: `${service} ${action === 'send' ? 'publishes' : 'reads'} ${topic}`,
        tags: [{ name: service }],
        messages: distinct(events).map((event) => ({
          $ref: `#/channels/${pointerText(topic)}/messages/${pointerText(messageName(event))}`,
        })),
        ...(action === 'receive' ? received(topic, service) : {}),
      },
    ]),
  )
}

function byTopic(events: readonly EventDefinition[], action: 'send' | 'receive') {
  return [...Map.groupBy(events, ({ topic }) => topic)].map(([topic, ofTopic]) => ({ action, topic, events: ofTopic }))
}

function received(topic: string, group: string): Json {
  return {
    bindings: { kafka: { groupId: { type: 'string', const: `${group}.${topic}` }, bindingVersion: '0.5.0' } },
    'x-dead-letters': deadTopicOf(topic, group),
  }
}

function refuseSharedTopics(events: Json, queues: Json): void {
  const shared = Object.keys(queues).filter((topic) => Object.hasOwn(events, topic))
  if (shared.length > 0) {
    throw new ForebayError('CONFIG_INVALID', `asyncApi: a queue and events share the topic ${shared.join(', ')}.`)
  }
}

function serverParts(given: Readonly<Record<string, AsyncApiServer>>): { servers: Json; securitySchemes: Json } {
  const securitySchemes: Record<string, unknown> = {}
  const servers = Object.entries(given).map(([name, { host, protocol = 'kafka', description, security = [] }]) => {
    for (const type of security) securitySchemes[type] = { type }
    return [
      name,
      {
        host,
        protocol,
        ...(description === undefined ? {} : { description }),
        ...(security.length > 0 ? { security: security.map((type) => ref('#/components/securitySchemes', type)) } : {}),
      },
    ]
  })
  return { servers: Object.fromEntries(servers), securitySchemes }
}

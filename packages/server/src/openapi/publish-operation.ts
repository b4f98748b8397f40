import { BATCH_EVENTS_MAX } from '../accept/events-door.ts'
import { ANY_TYPE, type Json, jsonContent, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { problemAnswers } from './problems.ts'

/** Publishing events: CloudEvents' HTTP binding in its three modes. */
export const PUBLISH_OPERATIONS: Operations = {
  'POST /v1/events': ({ events }) => ({
    operationId: 'publishEvents',
    tags: ['events'],
    summary: 'Publishes one event, or a batch of them',
    description:
      `CloudEvents 1.0, as the Content-Type says: one document (structured), an array of at most ${BATCH_EVENTS_MAX} (batch), or ` +
      'anything else with the attributes as headers `ce-…` and the data as the body (binary). The answer comes when the log ' +
      'has them. All of a batch are checked before any is published. ' +
      (events.length === 0
        ? 'This server is configured with no events.'
        : `Configured here: ${events.map(({ name }) => `\`${name}\``).join(', ')}.`),
    parameters: ATTRIBUTES.map(([name, description, example]) => ({
      name: `ce-${name}`,
      in: 'header',
      required: false,
      description,
      schema: { type: 'string' },
      example,
    })),
    requestBody: {
      required: false,
      content: {
        'application/cloudevents+json': { schema: schema('CloudEvent'), example: EXAMPLE },
        'application/cloudevents-batch+json': {
          schema: { type: 'array', maxItems: BATCH_EVENTS_MAX, items: schema('CloudEvent') },
          example: [EXAMPLE],
        },
        [ANY_TYPE]: { schema: {} },
      },
    },
    responses: {
      200: { description: 'The log has all of them.', content: jsonContent(schema('EventsPublished')) },
      ...problemAnswers(
        'UNAUTHENTICATED',
        'EVENT_NOT_FOUND',
        'EVENT_INVALID',
        'MALFORMED_JSON',
        'SCHEMA_MISMATCH',
        'TASK_TOO_LARGE',
        'REQUEST_TIMEOUT',
        'OVERLOADED',
        'NOT_ACCEPTED',
        'OUTCOME_UNKNOWN',
        'STOPPING',
      ),
    },
  }),
}

const EXAMPLE = {
  specversion: '1.0',
  id: '01994b53-6d10-7c3e-9a41-2f0b8c5d7e66',
  source: '/user-service',
  type: 'account_created',
  partitionkey: 'u-1',
  data: { userId: 'u-1' },
}

/** In binary mode. */
const ATTRIBUTES: readonly (readonly [string, string, string])[] = [
  ['specversion', 'Binary mode: 1.0.', EXAMPLE.specversion],
  ['id', 'Binary mode: unique within the source; the same again is the same event again.', EXAMPLE.id],
  ['source', 'Binary mode: who publishes it, a URI reference.', EXAMPLE.source],
  ['type', 'Binary mode: the name of the event.', EXAMPLE.type],
  ['time', 'Binary mode: when it happened, as RFC 3339 writes it. Default: now.', '2026-11-21T08:00:00Z'],
  ['subject', 'Binary mode: what it is about.', 'u-1'],
  ['partitionkey', 'Binary mode: the ordering key. Default: none, and no order.', 'u-1'],
  ['dataversion', "Binary mode: version of the data's schema. Default: 1.", '1'],
]

const TEXT: Json = { type: 'string', minLength: 1 }

export const PUBLISH_SCHEMAS: Record<string, Json> = {
  CloudEvent: {
    type: 'object',
    description: 'CloudEvents 1.0, JSON format. Further members are extension attributes.',
    required: ['specversion', 'id', 'source', 'type'],
    properties: {
      specversion: { const: '1.0' },
      id: TEXT,
      source: { ...TEXT, format: 'uri-reference' },
      type: TEXT,
      time: { type: 'string', format: 'date-time' },
      subject: TEXT,
      partitionkey: TEXT,
      dataversion: { type: ['string', 'integer'] },
      dataschema: TEXT,
      datacontenttype: TEXT,
      data: {},
      data_base64: { type: 'string' },
    },
    additionalProperties: { type: ['string', 'integer', 'boolean', 'null'] },
  },
  EventsPublished: {
    type: 'object',
    required: ['events'],
    properties: { events: { type: 'array', items: schema('EventPublished') } },
  },
  EventPublished: {
    type: 'object',
    required: ['id', 'source', 'type', 'outcome', 'topic'],
    properties: {
      id: { type: 'string' },
      source: { type: 'string' },
      type: { type: 'string' },
      outcome: {
        type: 'string',
        enum: ['accepted', 'not-accepted', 'unknown'],
        description:
          'In a problem: of each event what is known. Publish those that are not `accepted` again, with their ids.',
      },
      topic: { type: 'string' },
      partition: { type: 'integer' },
      offset: { type: 'integer' },
    },
  },
}

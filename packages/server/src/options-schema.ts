import { blobsField } from './options/blobs-field.ts'
import { breakerField } from './options/breaker-field.ts'
import { brokerField, kafkaField } from './options/broker-fields.ts'
import { edgeField } from './options/edge-field.ts'
import { eventsField } from './options/events-field.ts'
import { fairnessField } from './options/fairness-field.ts'
import { type GivenOf, type JsonSchema, list, map, object, required, type ValueOf } from './options/field.ts'
import { keySourceField } from './options/key-source-field.ts'
import { rateField } from './options/rate-field.ts'
import { retryField } from './options/retry-field.ts'
import { routeField } from './options/route-field.ts'
import { address, choice, duration, flag, integer, path, size, text } from './options/scalar-fields.ts'
import { scheduleField } from './options/schedule-field.ts'
import { schemaField } from './options/schema-field.ts'
import { postgresField, storeField } from './options/store-field.ts'
import { targetField } from './options/target-field.ts'
import { webhooksField } from './options/webhooks-field.ts'
import type { Role } from './options.ts'

/**
 * The given form of forebay.yaml: every key once, with its description, its default and how it is read. From here come
 * the JSON Schema for editors, the checks, the environment twins and docs/configuration.md.
 */

const httpField = object("The gateway's door for callers.", {
  listen: address('Host and port to listen on.', '127.0.0.1:8080'),
  bodyMax: size('Largest request body of any queue.', { default: '1MiB', min: '1B', max: '64MiB' }),
  waitMax: duration('Longest `Prefer: wait`; longer ones are cut to it.', { default: '60s', min: '0ms', max: '1h' }),
  waitersMax: integer('Callers that may wait at once; beyond it the answer is 202 at once.', {
    default: 10_000,
    min: 0,
    max: 1_000_000,
  }),
  watchersMax: integer('Tasks that may be followed at once, by SSE, WebSocket and gRPC; beyond it 429.', {
    default: 20_000,
    min: 0,
    max: 1_000_000,
  }),
  waitersPerPrincipalMax: integer(
    'The same for the callers of one principal, where `auth.keys` are configured; beyond it 202 at once.',
    { default: 5_000, min: 0, max: 1_000_000 },
  ),
  watchersPerPrincipalMax: integer(
    'Tasks that one principal may follow at once, where `auth.keys` are configured; beyond it 429.',
    { default: 10_000, min: 0, max: 1_000_000 },
  ),
  webSocketsMax: integer('WebSockets that may be open at once; beyond it 429.', {
    default: 10_000,
    min: 0,
    max: 1_000_000,
  }),
  acceptingMax: size('Bytes of bodies that may be on their way into the log at once; beyond it 429.', {
    default: '64MiB',
    min: '1KiB',
    max: '4GiB',
  }),
  docsOpen: flag('Shows /openapi.json and /docs to callers without an access key as well.', false),
})

const grpcField = object('The door for workers, and for callers who speak gRPC.', {
  listen: address('Host and port to listen on.', '127.0.0.1:8081'),
  sessionsMax: integer('Worker sessions at once; beyond it RESOURCE_EXHAUSTED.', {
    default: 1_000,
    min: 0,
    max: 100_000,
  }),
  lease: duration('Silence after which a worker counts as lost; its attempts are then retried.', {
    default: '15s',
    min: '500ms',
    max: '10m',
  }),
})

const accessKeyField = object('One key. `forebay keys new NAME` makes one.', {
  principal: required(
    text('Who calls with it. A task can only be read by the principal that handed it in.', {
      pattern: '^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}$',
      rule: 'Use up to 128 letters, digits and . _ @ : / - and begin with a letter or digit.',
    }),
    'This key belongs to nobody.',
    'Add `principal`.',
  ),
  sha256: required(
    text('SHA-256 of the key, 64 hex digits; the key itself is kept nowhere.', {
      pattern: '^[0-9a-fA-F]{64}$',
      rule: 'Write the 64 hex digits that `forebay keys new NAME` prints, in quotes.',
      secret: true,
    }),
    'This entry holds no key.',
    'Add `sha256`.',
  ),
  operator: flag('May see and mend what is parked and dead, of everybody, and cancel any task.', false),
})

const idempotencyField = object('What an Idempotency-Key of a caller means.', {
  required: flag('Refuses tasks without one.', false),
  window: duration('How long a key stands for its task. Default, and at most: `retention`.', {
    default: null,
    min: '1s',
    max: '365d',
  }),
})

const perKeyField = object('Limits for the tasks of one key.', {
  concurrency: integer('Attempts of one key that run at once. Default: no limit; with `order: key` it is 1.', {
    default: null,
    min: 1,
    max: 100_000,
  }),
  rate: rateField('Attempts of one key that begin:'),
})

const queueField = object('The policy of one queue.', {
  route: routeField,
  key: keySourceField,
  order: choice(
    'key: the tasks of one key run one at a time, in order. none: no order, fastest.',
    ['key', 'none'],
    'none',
  ),
  target: targetField,
  descriptors: path('File with a FileDescriptorSet for a gRPC target. Default: ask the server by reflection.'),
  concurrency: integer(
    'Attempts that run at once, over all dispatchers: each takes the share of the partitions that it owns.',
    { default: 1_000, min: 1, max: 100_000 },
  ),
  rate: rateField('Attempts that begin, over all dispatchers:'),
  perKey: perKeyField,
  fairness: fairnessField,
  timeout: duration('Longest attempt.', { default: '30s', min: '1ms', max: '24h' }),
  deadline: duration(
    'From acceptance to the end of a task unless the caller asks for another. Default: 24h, or `retention` if shorter.',
    { default: null, min: '1ms', max: '30d' },
  ),
  retry: retryField,
  breaker: breakerField,
  onExhausted: choice(
    'What becomes of a task whose attempts are used up. dead: a dead letter. park: it is kept for an operator, and with ' +
      '`order: key` its key halts.',
    ['dead', 'park'],
    'dead',
  ),
  onClientGone: choice(
    'What becomes of a task whose caller waits for the result (`Prefer: wait`) and goes away before it is there. cancel: it ' +
      'is cancelled.',
    ['continue', 'cancel'],
    'continue',
  ),
  schedule: scheduleField,
  idempotency: idempotencyField,
  schema: schemaField(
    'JSON Schema (2020-12) that bodies must meet: a file, or the schema itself. Default: any bytes are accepted.',
  ),
  bodyMax: size('Largest request body. Default: http.bodyMax.', { default: null, min: '1B', max: '64MiB' }),
  partitions: integer('Partitions of its topic if it has to be made. Default: `partitions`.', {
    default: null,
    min: 1,
    max: 1_000,
  }),
  topic: text('Topic that holds its tasks. Default: forebay.tasks.NAME.', {
    pattern: '^[A-Za-z0-9._-]{1,200}$',
    rule: "Use up to 200 letters, digits, '.', '_' and '-'.",
  }),
  resultTopic: text('Topic that gets a copy of each result, for other services. Queues may share one. Default: none.', {
    pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,200}$',
    rule: "Use up to 200 letters, digits, '.', '_' and '-'; not '.' or '..' alone.",
  }),
})

export const optionsField = object('Configuration of Forebay. Everything has a default; the file may be empty.', {
  broker: brokerField,
  kafka: kafkaField,
  store: storeField,
  postgres: postgresField,
  blobs: blobsField,
  data: path('Folder of what is embedded.', './.forebay'),
  instance: text('Names this process in logs, and picks its lane. Default: host name and HTTP port.', {
    pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$',
    rule: 'Use up to 128 letters, digits and . _ : - and begin with a letter or digit.',
  }),
  roles: list<Role, Role>(
    {
      about: 'What this process does. gateway includes recorder.',
      absent: ['gateway', 'dispatcher', 'recorder', 'collector', 'logs'],
      written: ['gateway', 'dispatcher', 'recorder', 'collector', 'logs'],
    },
    choice('A role.', ['gateway', 'dispatcher', 'recorder', 'collector', 'logs'], 'gateway'),
  ),
  http: httpField,
  grpc: grpcField,
  auth: object('Who may call.', {
    keys: list({ about: 'Keys. None: everybody may call, as anonymous.', absent: [], written: [] }, accessKeyField),
  }),
  webhooks: webhooksField,
  partitions: integer('Partitions of topics that have to be made.', { default: 12, min: 1, max: 1_000 }),
  retention: duration('How long task and result records, and results in the store, are kept.', {
    default: '24h',
    min: '1s',
    max: '365d',
  }),
  stopGrace: duration('How long a stop waits for what runs.', { default: '10s', min: '0ms', max: '1h' }),
  queues: map(
    {
      about: 'The queues by name.',
      namePattern: '^[a-z0-9][a-z0-9._-]{0,99}$',
      nameRule: "Use up to 100 lower-case letters, digits, '-', '_' and '.', and begin with a letter or digit.",
    },
    queueField,
  ),
  events: eventsField,
  edge: edgeField,
})

/** What people may write in forebay.yaml. */
export type GivenOptions = GivenOf<typeof optionsField>
export type GivenQueue = GivenOf<typeof queueField>
export type ReadOptions = ValueOf<typeof optionsField>
export type ReadQueue = ValueOf<typeof queueField>

/** JSON Schema (2020-12) of forebay.yaml. */
export function optionsSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:forebay:schema:forebay.yaml',
    title: 'forebay.yaml',
    ...optionsField.schema,
  }
}

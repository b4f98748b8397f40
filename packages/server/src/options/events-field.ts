import { map, object } from './field.ts'
import { duration, integer, text } from './scalar-fields.ts'
import { schemaField } from './schema-field.ts'

const eventField = object('One event.', {
  topic: text('Topic that holds it. Events that must keep one order share a topic. Default: forebay.events.NAME.', {
    pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,200}$',
    rule: "Use up to 200 letters, digits, '.', '_' and '-'; not '.' or '..' alone.",
  }),
  partitions: integer('Partitions of its topic if it has to be made. Default: `partitions`.', {
    default: null,
    min: 1,
    max: 1_000,
  }),
  retention: duration('How long events are kept in its topic if it has to be made. Default: 7d.', {
    default: null,
    min: '1s',
    max: '3650d',
  }),
  schemas: map(
    {
      about:
        'JSON Schemas (2020-12) that its data must meet, by version: a file, or the schema itself. Versions that do not stand ' +
        'here are refused. Default: none, and any data of any version is taken.',
      namePattern: '^[1-9][0-9]{0,8}$',
      nameRule: 'Write the version as a whole number from 1.',
    },
    schemaField('A file, or the schema itself.'),
  ),
})

export const eventsField = map(
  {
    about: 'Events that callers may publish with POST /v1/events, by name (`type` of the CloudEvent).',
    namePattern: '^[A-Za-z][A-Za-z0-9_.-]{0,99}$',
    nameRule: "Use up to 100 letters, digits, '_', '.' and '-', and begin with a letter.",
  },
  eventField,
)

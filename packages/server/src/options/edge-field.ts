import { isAbsolute } from 'node:path'
import type { EdgeOptions } from '../options.ts'
import type { ReadOptions } from '../options-schema.ts'
import { type Address, parseAddress } from './address.ts'
import { type Field, leaf, list, object, type Place, quote, required } from './field.ts'
import type { FileReader } from './file-reader.ts'
import { choice, duration, path, size, text } from './scalar-fields.ts'
import { logStoreField } from './store-field.ts'

const FORMATS = ['json', 'combined', 'common', 'log'] as const

function optionalAddress(about: string): Field<string, Address | null> {
  return leaf<string, Address | null>({
    about,
    schema: { type: 'string', pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$' },
    absent: null,
    parse(given, place) {
      const parsed = typeof given === 'string' ? parseAddress(given) : null
      if (parsed !== null) return parsed
      place.refuse(
        given,
        `${quote(given)} is not an address.`,
        'Write host:port, as 127.0.0.1:5514; port 0 picks a free one.',
      )
    },
  })
}

const topicRule = {
  pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,200}$',
  rule: "Use up to 200 letters, digits, '.', '_' and '-'; not '.' or '..' alone.",
}

const fileField = object('A file that is followed.', {
  path: required(
    path("What nginx's access_log names."),
    'This entry names no file.',
    'Add `path`: /var/log/nginx/forebay.log.',
  ),
  format: choice(
    "How its lines are written; json: one object a line, as `forebay nginx` has it. log: a service's own JSON log.",
    FORMATS,
    'json',
  ),
  from: choice('Where to begin in a file that is met for the first time of all.', ['start', 'end'], 'start'),
})

const parametersField = leaf<'all' | readonly string[], 'all' | readonly string[] | null>({
  about:
    'Query parameters whose values are hidden, by name; `all` hides every value. Default: the usual names of secrets.',
  schema: { anyOf: [{ const: 'all' }, { type: 'array', items: { type: 'string' } }] },
  absent: null,
  fromText: 'yaml',
  parse(given, place) {
    if (given === 'all' || (Array.isArray(given) && given.every((one) => typeof one === 'string')))
      return given as string[]
    place.refuse(given, `${quote(given)} is no list of names.`, 'Write a list, [token, code], or all.')
  },
})

export const edgeField = object('The collector of access logs. It runs where a file, syslog or http is named.', {
  name: text('Names this collector in rows; no two may share it. Default: `instance`.', {
    pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$',
    rule: 'Use up to 100 letters, digits and . _ : - and begin with a letter or digit.',
  }),
  files: list({ about: 'Files that are followed.', absent: [], written: [] }, fileField),
  syslog: object('Syslog, as nginx and others send it.', {
    udp: optionalAddress(
      'Host and port for datagrams: what `access_log syslog:` of nginx sends. What finds no room is lost. Default: none.',
    ),
    tcp: optionalAddress('Host and port for streams. Default: none.'),
    unix: path('Path of a unix socket for streams. Default: none.'),
    format: choice('How the messages are written.', FORMATS, 'json'),
  }),
  http: object('Batches of lines, and messages, over HTTP.', {
    listen: optionalAddress('Host and port to listen on; `auth.keys` hold here too. Default: none.'),
    unix: path('Path of a unix socket to listen on. Default: none.'),
  }),
  produce: list(
    { about: 'Topics that may be produced to with POST /v1/edge/produce/TOPIC.', absent: [], written: [] },
    text('A topic.', topicRule),
  ),
  redact: object('What is taken out of lines before anything is stored.', {
    parameters: parametersField,
    client: choice(
      'Addresses of clients. network: the first 24 bits of IPv4, 48 of IPv6. drop: none.',
      ['keep', 'network', 'drop'],
      'keep',
    ),
    members: list<string, string | null>(
      {
        about: 'Members whose values are hidden, by name. Default: those that hold credentials.',
        absent: [],
        written: [],
      },
      text('A name.'),
    ),
  }),
  spool: object('What was received and the log does not have yet, on the disk.', {
    max: size('All files together.', { default: '1GiB', min: '1MiB', max: '1024GiB' }),
    whenFull: choice(
      'refuse: nothing more is taken. drop-oldest: the oldest rows give way, and a row says which.',
      ['refuse', 'drop-oldest'],
      'refuse',
    ),
  }),
  topic: text('Topic of the rows. Default: forebay.edge.access.', topicRule),
  logsTopic: text('Topic of the logs of services. Default: forebay.edge.logs.', topicRule),
  logs: object(
    'The store that `forebay logs` asks: files of rows in a folder of one process, or tables of PostgreSQL.',
    {
      store: logStoreField,
      directory: path('Its folder; one process at a time writes it. Default: logs in the data folder.'),
      retention: duration('How long rows are kept; they go an hour at a time, of PostgreSQL a day at a time.', {
        default: '30d',
        min: '1h',
        max: '3650d',
      }),
      max: size('All files or tables together; above it the oldest hours, or days, go.', {
        default: '10GiB',
        min: '1MiB',
        max: '1048576GiB',
      }),
    },
  ),
  retention: duration('How long the topics keep rows and messages.', { default: '7d', min: '1s', max: '365d' }),
})

export function resolveEdge(read: ReadOptions, instance: string, place: Place, files: FileReader): EdgeOptions {
  const { name, syslog, http, produce, redact, spool, topic, logsTopic, logs, retention } = read.edge
  const absolute = (given: string | null, ...at: string[]) =>
    given === null ? null : files.absolute(given, place.at(...at))
  const paths = new Set<string>()
  const followed = read.edge.files.flatMap(({ path: given, format, from }, index) => {
    if (given === null) return []
    const file = files.absolute(given, place.at('files', index))
    if (paths.has(file) || !isAbsolute(file)) {
      place.at('files', index, 'path').refuse(given, `${file} is named twice.`, 'Name each file once.')
    }
    paths.add(file)
    return [{ path: file, format, from }]
  })
  return {
    name: name ?? instance,
    files: followed,
    syslog: { ...syslog, unix: absolute(syslog.unix, 'syslog', 'unix') },
    http: { listen: http.listen, unix: absolute(http.unix, 'http', 'unix') },
    produce: produce.filter((one) => one !== null),
    redact: {
      parameters: redact.parameters,
      client: redact.client,
      members: redact.members.length === 0 ? null : redact.members.filter((one) => one !== null),
    },
    spool: { bytesMax: spool.max, whenFull: spool.whenFull },
    topic: topic ?? 'forebay.edge.access',
    logsTopic: logsTopic ?? 'forebay.edge.logs',
    logs: {
      store: logs.store,
      directory: absolute(logs.directory, 'logs', 'directory'),
      retentionMs: logs.retention,
      bytesMax: logs.max,
    },
    retentionMs: retention,
  }
}

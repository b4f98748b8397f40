import { KAFKA_COMPRESSIONS, type KafkaSasl, type KafkaTls } from '../options.ts'
import { formatAddress, parseAddress } from './address.ts'
import { type Field, leaf, object, type Place, quote, required } from './field.ts'
import { choice, flag, integer, path, text } from './scalar-fields.ts'

export type BrokerChoice =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'kafka'; readonly bootstrap: readonly string[] }

export const brokerField: Field<string, BrokerChoice> = leaf<string, BrokerChoice>({
  about:
    "The durable log. 'embedded': a file in `data`, for one process. kafka://HOST:PORT,HOST:PORT: a Kafka cluster.",
  schema: { anyOf: [{ const: 'embedded' }, { type: 'string', pattern: '^kafka://' }] },
  absent: { kind: 'embedded' },
  written: 'embedded',
  parse(given, place) {
    if (given === 'embedded') return { kind: 'embedded' }
    if (typeof given === 'string' && given.startsWith('kafka://')) return kafkaAddresses(given, place)
    place.refuse(given, `There is no broker ${quote(given)}.`, 'Write embedded or kafka://host:9092,host:9092.')
  },
})

function kafkaAddresses(given: string, place: Place): BrokerChoice | undefined {
  const list = given.slice('kafka://'.length).replace(/\/$/, '')
  if (list.includes('@')) {
    const fix = 'Write kafka://host:9092 and put the user and password under kafka.sasl.'
    return place.refuse('(hidden)', 'The address of Kafka holds a password.', fix)
  }
  const bootstrap: string[] = []
  for (const part of list.split(',')) {
    const written = part.trim()
    const address = parseAddress(/:\d+$/.test(written) ? written : `${written}:${KAFKA_PORT}`)
    if (address === null || address.port === 0) {
      return place.refuse(
        given,
        `${quote(written)} is not the address of a Kafka server.`,
        'Write kafka://host:9092,host:9092.',
      )
    }
    bootstrap.push(formatAddress(address))
  }
  return { kind: 'kafka', bootstrap }
}

const KAFKA_PORT = 9092

const tlsFilesField = object('Files of the TLS connection.', {
  ca: path("The authorities to trust, PEM. Default: the system's."),
  cert: path('The certificate to show, PEM.'),
  key: path('Its private key, PEM.'),
  rejectUnauthorized: flag('Whether to refuse servers whose certificate cannot be verified.', true),
})

const tlsField: Field<boolean | typeof tlsFilesField.given, KafkaTls | null> = {
  schema: {
    anyOf: [{ type: 'boolean' }, tlsFilesField.schema],
    description: 'true for TLS with the defaults, or the files to use. Default: no TLS.',
  },
  fromText: 'yaml',
  members: tlsFilesField.members!,
  read(given, place) {
    if (given === undefined || given === null || given === false) return null
    if (given === true) return {}
    const { rejectUnauthorized, ...files } = tlsFilesField.read(given, place)
    const named = Object.entries(files).filter(([, file]) => file !== null)
    if (files.cert === null && files.key !== null) {
      place.at('key').refuse(files.key, 'A private key without its certificate.', 'Name the certificate as `cert`.')
    } else if (files.cert !== null && files.key === null) {
      place.at('cert').refuse(files.cert, 'A certificate without its private key.', 'Name the private key as `key`.')
    }
    return { ...(Object.fromEntries(named) as KafkaTls), ...(rejectUnauthorized ? {} : { rejectUnauthorized }) }
  },
}

const saslMembersField = object('User and password.', {
  mechanism: choice(
    'How the password is shown to Kafka. PLAIN only over TLS.',
    ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'],
    'SCRAM-SHA-512',
  ),
  username: required(text('The user.'), 'SASL needs a user.', 'Add `username`.'),
  password: required(
    text('The password; better given as FOREBAY_KAFKA_SASL_PASSWORD or in a file as FOREBAY_KAFKA_SASL_PASSWORD_FILE.'),
    'SASL needs a password.',
    'Set FOREBAY_KAFKA_SASL_PASSWORD, or add `password`.',
  ),
})

const saslField: Field<typeof saslMembersField.given, KafkaSasl | null> = {
  ...saslMembersField,
  read(given, place) {
    if (given === undefined || given === null) return null
    const { mechanism, username, password } = saslMembersField.read(given, place)
    return { mechanism, username: username ?? '', password: password ?? '' }
  },
}

export const kafkaField = object('How to talk to Kafka; without effect on the embedded log.', {
  tls: tlsField,
  sasl: saslField,
  replicationFactor: integer(
    'Copies of each topic that has to be made. Default: 3, or the number of brokers if there are fewer.',
    { default: null, min: 1, max: 32 },
  ),
  fsync: flag(
    'Makes topics flush each record to disk before it is acknowledged: survives the power loss of all replicas, slower.',
    false,
  ),
  compression: choice(
    'How batches of records are compressed on their way to Kafka and on its disks.',
    KAFKA_COMPRESSIONS,
    'none',
  ),
})

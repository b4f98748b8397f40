import { readFileSync } from 'node:fs'
import type { WebhookOptions } from '../options.ts'
import type { ReadOptions } from '../options-schema.ts'
import { isAllowEntry } from '../webhooks/allowed-targets.ts'
import { isWebhookSecret, WEBHOOK_SECRETS_MAX } from '../webhooks/signature.ts'
import { DURATION_PATTERN, formatDuration, parseDuration } from './duration.ts'
import { type Field, leaf, list, map, object, type Place, quote, required } from './field.ts'
import type { FileReader } from './file-reader.ts'
import { duration, integer, path, text } from './scalar-fields.ts'

/** Ms between one call and the next: the example of Standard Webhooks. */
const RETRIES_DEFAULT = ['5s', '5m', '30m', '2h', '5h', '10h', '14h', '20h', '24h'] as const
export const WEBHOOK_RETRIES_MAX = 30
const RETRY_MS_MAX = 7 * 86_400_000

/** Never repeats what was given: it is secret even where it is wrong. */
function secretsField(about: string): Field<readonly string[], readonly string[]> {
  return leaf<readonly string[], readonly string[]>({
    about,
    schema: { type: 'array', items: { type: 'string', pattern: '^whsec_' }, maxItems: WEBHOOK_SECRETS_MAX },
    absent: [],
    fromText: 'commas',
    parse(given, place) {
      if (!Array.isArray(given)) return place.refuse(HIDDEN, 'This is not a list.', 'Write a list: [whsec_…].')
      if (given.length > WEBHOOK_SECRETS_MAX) {
        const message = `There are ${given.length} secrets, and ${WEBHOOK_SECRETS_MAX} at most are in use at once.`
        return place.refuse(HIDDEN, message, 'Keep the current one first, and the one that it replaces.')
      }
      for (const [index, secret] of given.entries()) {
        if (typeof secret === 'string' && isWebhookSecret(secret)) continue
        const fix = 'Write what `forebay webhooks secret` prints: whsec_ and 24 to 64 bytes in base64.'
        return place.at(index).refuse(HIDDEN, 'This is no secret of webhooks.', fix)
      }
      return given as string[]
    },
  })
}

const HIDDEN = '(hidden)'

const retriesField: Field<readonly (string | number)[], readonly number[]> = leaf<
  readonly (string | number)[],
  readonly number[]
>({
  about: `Waits between one call and the next, give or take a tenth; after the last the callback is given up. Up to ${WEBHOOK_RETRIES_MAX}.`,
  schema: {
    type: 'array',
    items: {
      anyOf: [
        { type: 'string', pattern: DURATION_PATTERN },
        { type: 'integer', minimum: 0 },
      ],
    },
    maxItems: WEBHOOK_RETRIES_MAX,
  },
  absent: RETRIES_DEFAULT.map((one) => parseDuration(one)!),
  written: RETRIES_DEFAULT,
  fromText: 'commas',
  parse(given, place) {
    const fix = `Write a list of up to ${WEBHOOK_RETRIES_MAX} durations up to ${formatDuration(RETRY_MS_MAX)}: [5s, 5m, 2h].`
    if (!Array.isArray(given)) return place.refuse(given, `${quote(given)} is not a list.`, fix)
    if (given.length > WEBHOOK_RETRIES_MAX) return place.refuse(given, `${given.length} retries are too many.`, fix)
    const waits = given.map(parseDuration)
    const wrong = waits.findIndex((ms) => ms === null || ms > RETRY_MS_MAX)
    if (wrong === -1) return waits as number[]
    place.at(wrong).refuse(given[wrong], `${quote(given[wrong])} is no wait that can be used here.`, fix)
  },
})

const allowField: Field<string, string | null> = leaf<string, string | null>({
  about: 'A host by its name, an address, or a network as 10.0.0.0/8.',
  schema: { type: 'string' },
  absent: null,
  parse(given, place) {
    if (typeof given === 'string' && isAllowEntry(given)) return given
    const fix = 'Write a host without port (hooks.internal), an address, or a network (10.0.0.0/8, fd00::/8).'
    place.refuse(given, `${quote(given)} is no target.`, fix)
  },
})

export const webhooksField = object('Calls to URLs of callers when their tasks have ended.', {
  secrets: secretsField(
    'What calls are signed with: `forebay webhooks secret` makes one. Current first; a second one only while it is being replaced. None: callbacks are refused. Better given as FOREBAY_WEBHOOKS_SECRETS, or in a file as FOREBAY_WEBHOOKS_SECRETS_FILE.',
  ),
  principals: map(
    {
      about: 'Secrets of single principals, instead of those above.',
      namePattern: '^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}$',
      nameRule: 'Use the name of a principal in auth.keys.',
    },
    object('One principal.', {
      secrets: required<readonly string[], readonly string[]>(
        secretsField('As above.') as Field<readonly string[], readonly string[] | null>,
        'This principal has no secrets.',
        'Add `secrets`, or leave the principal out.',
      ) as Field<readonly string[], readonly string[]>,
    }),
  ),
  ports: list(
    { about: 'Ports that may be called.', absent: [443], written: [443] },
    integer('A port.', { default: 443, min: 1, max: 65_535 }),
  ),
  allow: list(
    {
      about: 'Targets that may be called although they are not public; only these also by http://.',
      absent: [],
      written: [],
    },
    allowField,
  ),
  ca: path('Authorities to trust beside the well-known ones, PEM.'),
  dns: list(
    { about: 'DNS servers to ask, as 10.0.0.2 or 10.0.0.2:53. Default: those of the system.', absent: [], written: [] },
    text('A server.', {
      pattern: '^(\\[[0-9A-Fa-f:.]+\\](:[0-9]{1,5})?|[0-9.]+(:[0-9]{1,5})?|[0-9A-Fa-f:]+)$',
      rule: 'Write an address, or [address]:port.',
    }),
  ),
  timeout: duration('Longest call, from looking up the name to the end of the answer.', {
    default: '10s',
    min: '100ms',
    max: '60s',
  }),
  retries: retriesField,
  concurrency: integer('Calls of this process at once.', { default: 64, min: 1, max: 10_000 }),
  perHost: integer('Calls to one host at once, over all processes that share the store.', {
    default: 4,
    min: 1,
    max: 1_000,
  }),
})

export function resolveWebhooks({ webhooks }: ReadOptions, place: Place, files: FileReader): WebhookOptions {
  const { secrets, principals, ports, allow, ca, dns, timeout, retries, concurrency, perHost } = webhooks
  return {
    secrets,
    principals: new Map([...principals].map(([name, one]) => [name, one.secrets])),
    ports: new Set(ports),
    allow: allow.filter((entry) => entry !== null),
    ca: ca === null ? null : readText(files.existing(ca, place.at('ca'))),
    dns: dns.filter((server) => server !== null),
    timeoutMs: timeout,
    waitsMs: retries,
    concurrency,
    perHost,
  }
}

/** Null where it cannot be read, which has been refused already. */
function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

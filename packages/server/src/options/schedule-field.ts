import { cronTimes, isTimeZone, timeZoneNames } from '../cron.ts'
import { isMediaType } from '../media-type.ts'
import { nearestName } from '../nearest-name.ts'
import type { ScheduleOptions } from '../options.ts'
import { type Field, type GivenOf, leaf, map, object, quote, required } from './field.ts'
import { choice, text } from './scalar-fields.ts'

const timeZoneField: Field<string, string> = leaf<string, string>({
  about: 'The time zone that `cron` is written in, by its IANA name, as Europe/Berlin.',
  schema: { type: 'string' },
  absent: 'UTC',
  written: 'UTC',
  parse(given, place) {
    if (typeof given === 'string' && isTimeZone(given)) return given
    const nearest = typeof given === 'string' ? nearestName(given, timeZoneNames()) : null
    const fix = nearest === null ? 'Write an IANA name, as Europe/Berlin or UTC.' : `Did you mean ${quote(nearest)}?`
    place.refuse(given, `There is no time zone ${quote(given)}.`, fix)
  },
})

/** Text goes out as it stands, everything else as JSON. */
const bodyField: Field<unknown, ScheduledBody> = leaf<unknown, ScheduledBody>({
  about: 'Body of the task: text as it stands; anything else is written as JSON. Default: empty.',
  schema: {},
  absent: { bytes: new Uint8Array(0), contentType: 'application/octet-stream' },
  fromText: 'yaml',
  parse(given) {
    if (typeof given === 'string') return { bytes: Buffer.from(given), contentType: 'text/plain; charset=utf-8' }
    return { bytes: Buffer.from(JSON.stringify(given)), contentType: 'application/json' }
  },
})

interface ScheduledBody {
  readonly bytes: Uint8Array
  readonly contentType: string
}

const contentTypeField: Field<string, string | null> = leaf<string, string | null>({
  about:
    'Media type of the body. Default: text/plain; charset=utf-8 for text, application/json for what is written as JSON.',
  schema: { type: 'string' },
  absent: null,
  parse(given, place) {
    if (typeof given === 'string' && isMediaType(given)) return given
    place.refuse(given, `${quote(given)} is not a media type.`, 'Write type/subtype, as application/json.')
  },
})

const entryField = object('One schedule: each time it fires, a task is made.', {
  cron: required(
    text('When: minute, hour, day of month, month, day of week; with six fields, seconds first.'),
    'Nothing says when it fires.',
    "Add `cron`, as '0 3 * * *' for every day at three.",
  ),
  timeZone: timeZoneField,
  body: bodyField,
  contentType: contentTypeField,
  key: text('Ordering key of the tasks. Default: none.', {
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]{1,64}$',
    rule: 'Use up to 64 characters, and none that cannot be printed.',
  }),
  missed: choice(
    'Fires that came while no dispatcher ran. skip: they are left out. once: the latest is made up for. all: each is, up ' +
      'to a thousand.',
    ['skip', 'once', 'all'],
    'once',
  ),
})

type ReadSchedule = Omit<ScheduleOptions, 'name'>

const checkedEntryField: Field<GivenOf<typeof entryField>, ReadSchedule> = {
  ...entryField,
  read(given, place) {
    const { cron, timeZone, body, contentType, key, missed } = entryField.read(given, place)
    const fault = cron === null ? null : cronFault(cron, timeZone)
    if (fault !== null) place.at('cron').refuse(cron, fault.message, fault.fix)
    const checked = { cron: cron ?? '', timeZone, key, missed }
    return { ...checked, body: body.bytes, contentType: contentType ?? body.contentType }
  },
}

/** By name. */
export const scheduleField = map(
  {
    about: 'Tasks that come by themselves, by name: NAME: { cron: "0 3 * * *", timeZone: Europe/Berlin, body: {…} }.',
    namePattern: '^[a-z0-9][a-z0-9._-]{0,99}$',
    nameRule: "Use up to 100 lower-case letters, digits, '-', '_' and '.', and begin with a letter or digit.",
  },
  checkedEntryField,
)

function cronFault(cron: string, timeZone: string): { readonly message: string; readonly fix: string } | null {
  const fix = "Write five fields, as '0 3 * * *': minute, hour, day of month, month, day of week."
  if (cron.startsWith('@')) return { message: `${quote(cron)} is a nickname.`, fix }
  try {
    if (cronTimes(cron, timeZone).nextAfter(ANY_MOMENT_MS) !== null) return null
    return { message: `${quote(cron)} never comes.`, fix: 'Name a day that there is.' }
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, '').replace(/\.$/, '') : String(error)
    return { message: `${quote(cron)} is not a cron pattern: ${why}.`, fix }
  }
}

/** Any does: whether a pattern has a next time does not depend on the day. */
const ANY_MOMENT_MS = Date.UTC(2024, 0, 1)

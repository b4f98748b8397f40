import type { FairnessOptions } from '../options.ts'
import { type Field, leaf, map, object, type Place, quote, required } from './field.ts'
import { headerOrBody } from './key-source-field.ts'
import { integer } from './scalar-fields.ts'

const BY_PATTERN = '^(owner|key)$|^(header\\.|body\\./)'
const WEIGHT_MAX = 1_000

/** 'owner', 'key', 'header.X-Tenant' or 'body./tenant'. */
const byField: Field<string, FairnessOptions['by'] | null> = leaf<string, FairnessOptions['by'] | null>({
  about:
    'Whose tasks take turns: owner (the principal that handed it in), key (the ordering key), header.NAME, or ' +
    'body./POINTER (a JSON pointer into a JSON body of at most 64 KiB). What names none takes one turn together.',
  schema: { type: 'string', pattern: BY_PATTERN },
  absent: null,
  parse: parseBy,
})

const membersField = object('Shares capacity evenly among flows of tasks.', {
  by: required(byField, 'Nothing says whose tasks take turns.', 'Add `by: owner`, or key, header.NAME, body./POINTER.'),
  weights: map(
    {
      about: 'Turns that flows of these names get for each turn of the others. Default: 1 for all.',
      namePattern: '^[^\\u0000-\\u001f]{1,256}$',
      nameRule: 'Use up to 256 characters, and none that cannot be printed.',
    },
    integer('Turns in each round.', { default: 1, min: 1, max: WEIGHT_MAX }),
  ),
})

/** `fairness: owner`, or `fairness: { by: owner, weights: { shop: 3 } }`. */
export const fairnessField: Field<string | typeof membersField.given, FairnessOptions | null> = {
  schema: {
    anyOf: [{ type: 'string', pattern: BY_PATTERN }, membersField.schema],
    description:
      'Shares capacity evenly among flows of tasks; a word alone is `by`. Default: first come, first served.',
  },
  fromText: 'yaml',
  members: membersField.members!,
  read(given, place) {
    if (given === undefined || given === null) return null
    if (typeof given !== 'object' || Array.isArray(given)) {
      const by = parseBy(given, place)
      return by === undefined ? null : { by, weights: new Map() }
    }
    const { by, weights } = membersField.read(given, place)
    return by === null ? null : { by, weights }
  },
}

function parseBy(given: unknown, place: Place): FairnessOptions['by'] | undefined {
  if (given === 'owner' || given === 'key') return { from: given }
  const source = headerOrBody(given, place)
  if (source?.from === 'header' && OWN_HEADER.test(source.header)) {
    const message = `In a task the header ${source.header} has a meaning of its own.`
    return place.refuse(given, message, 'Name another header.')
  }
  if (source !== null) return source
  const fix = 'Write owner, key, header.X-Tenant or body./tenant.'
  return place.refuse(given, `${quote(given)} is nothing by which tasks can take turns.`, fix)
}

const OWN_HEADER = /^(content-type$|fb-|ce_)/

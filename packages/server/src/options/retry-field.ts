import type { ErrorCode } from '@forebay/protocol'
import type { RetryOptions } from '../options.ts'
import { formatDuration } from './duration.ts'
import { type Field, leaf, list, object, type Place, quote } from './field.ts'
import { choice, duration, integer } from './scalar-fields.ts'

/** What an attempt can fail with so that another may succeed. */
const RETRYABLE = [
  'WORKER_FAILED',
  'WORKER_LOST',
  'WORKER_PROTOCOL',
  'ATTEMPT_TIMED_OUT',
  'TARGET_UNAVAILABLE',
] as const satisfies readonly ErrorCode[]

const codesField = list<ErrorCode, ErrorCode>(
  { about: '', absent: [], written: [] },
  choice<ErrorCode>('A code of an error.', RETRYABLE, 'WORKER_FAILED'),
)

const onField: Field<readonly ErrorCode[], ReadonlySet<ErrorCode> | null> = {
  schema: {
    type: 'array',
    items: { enum: RETRYABLE },
    description:
      `Of the failures that may be tried again (${RETRYABLE.join(', ')}) only those with these codes are. ` +
      'Default: all.',
  },
  fromText: 'commas',
  read(given, place) {
    if (given === undefined || given === null) return null
    const codes = codesField.read(given, place)
    if (codes.length > 0) return new Set(codes)
    if (Array.isArray(given)) place.refuse([], 'No failure is tried again.', 'Write `attempts: 1`, or name a code.')
    return null
  },
}

const BUDGET_MAX = 10

const budgetField: Field<number | 'off' | false, number | null> = leaf<number | 'off' | false, number | null>({
  about:
    'Most retries for each first attempt, over ten seconds and beyond ten that are free, in one dispatcher; those above ' +
    'wait. off: no such limit.',
  schema: { anyOf: [{ type: 'number', minimum: 0, maximum: BUDGET_MAX }, { enum: ['off', false] }] },
  absent: 0.1,
  written: 0.1,
  fromText: 'yaml',
  parse(given, place) {
    if (given === 'off' || given === false) return null
    if (typeof given === 'number' && given >= 0 && given <= BUDGET_MAX) return given
    const message = typeof given === 'number' ? `${given} is out of range.` : `${quote(given)} is no budget.`
    place.refuse(given, message, `Write a number from 0 to ${BUDGET_MAX}, as 0.1, or off.`)
  },
})

const membersField = object('When to try again.', {
  attempts: integer('Attempts in all; 1 never retries.', { default: 5, min: 1, max: 100 }),
  within: duration('No further attempt starts later than this after the first one.', {
    default: '10m',
    min: '0ms',
    max: '30d',
  }),
  backoff: duration('First pause; doubles with each attempt.', { default: '200ms', min: '0ms', max: '1h' }),
  backoffMax: duration('Longest pause.', { default: '30s', min: '0ms', max: '24h' }),
  jitter: choice(
    'full: a pause is anything between nothing and its step, by chance, so that what failed together does not come back ' +
      'together. none: the step itself.',
    ['full', 'none'],
    'full',
  ),
  on: onField,
  budget: budgetField,
})

export const retryField: Field<typeof membersField.given, RetryOptions> = {
  ...membersField,
  read(given, place) {
    const { attempts, within, backoff, backoffMax, jitter, on, budget } = membersField.read(given, place)
    if (backoff > backoffMax) refuseBackoffMax(backoff, backoffMax, place)
    return { attemptsMax: attempts, withinMs: within, backoffMs: backoff, backoffMaxMs: backoffMax, jitter, on, budget }
  },
}

function refuseBackoffMax(backoffMs: number, backoffMaxMs: number, place: Place): void {
  const message = `The first pause (${formatDuration(backoffMs)}) is longer than the longest.`
  place.at('backoffMax').refuse(backoffMaxMs, message, `Write ${formatDuration(backoffMs)} or more.`)
}

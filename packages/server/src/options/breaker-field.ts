import type { BreakerOptions } from '../options.ts'
import { type Field, object, quote } from './field.ts'
import { duration, fraction, integer } from './scalar-fields.ts'

const membersField = object('When the target counts as down.', {
  failureShare: fraction("Opens when so large a share of the attempts in the window failed for the target's fault.", {
    default: 0.5,
    max: 1,
  }),
  attempts: integer('And at least so many ended in it.', { default: 20, min: 1, max: 100_000 }),
  window: duration('How far back it looks.', { default: '10s', min: '100ms', max: '1h' }),
  open: duration('How long nothing begins then; doubles, up to eight times, while the target stays down.', {
    default: '5s',
    min: '10ms',
    max: '1h',
  }),
  probes: integer('Attempts that then try whether it is better, at once.', { default: 3, min: 1, max: 1_000 }),
})

/** `breaker: off`, or what differs from the defaults. */
export const breakerField: Field<'off' | false | typeof membersField.given, BreakerOptions | null> = {
  schema: {
    anyOf: [{ enum: ['off', false] }, membersField.schema],
    description: 'Stops attempts while the target is down, before they are used up on it. off: never.',
  },
  fromText: 'yaml',
  members: membersField.members!,
  read(given, place) {
    if (given === 'off' || given === false) return null
    if (typeof given === 'string' || given === true) {
      place.refuse(given, `${quote(given)} is no breaker.`, 'Write off, or leave it out for the defaults.')
      return null
    }
    const { failureShare, attempts, window, open, probes } = membersField.read(given, place)
    return { failureShare, attemptsMin: attempts, windowMs: window, openMs: open, probes }
  },
}

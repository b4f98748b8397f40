import type { Rate } from '../options.ts'
import { type Field, leaf, quote } from './field.ts'

/** '100/s', '6000/m', '10/h'. */
export function rateField(about: string): Field<string, Rate | null> {
  return leaf<string, Rate | null>({
    about: `${about} COUNT/s, COUNT/m or COUNT/h. Default: no limit.`,
    schema: { type: 'string', pattern: RATE_PATTERN },
    absent: null,
    parse(given, place) {
      const [, count, unit] = RATE.exec(typeof given === 'string' ? given.trim() : '') ?? []
      if (count === undefined) {
        const fix = 'Write 100/s, 30/m or 10/h: a whole number for a second, a minute or an hour.'
        return place.refuse(given, `${quote(given)} is not a rate.`, fix)
      }
      const rate = { count: Number(count), perMs: MS_OF[unit!]! }
      if (rate.count >= 1 && rate.count <= RATE_COUNT_MAX) return rate
      place.refuse(given, `${quote(given)} is out of range.`, `Write a count from 1 to ${RATE_COUNT_MAX}.`)
    },
  })
}

export function formatRate({ count, perMs }: Rate): string {
  const unit = Object.entries(MS_OF).find(([, ms]) => ms === perMs)?.[0]
  return unit === undefined ? `${count} in ${perMs}ms` : `${count}/${unit}`
}

export const RATE_COUNT_MAX = 1_000_000
const RATE_PATTERN = '^[0-9]+ ?/ ?[smh]$'
const RATE = /^(\d+) ?\/ ?([smh])$/
const MS_OF: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

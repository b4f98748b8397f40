/**
 * Reads a moment as RFC 3339 ('2026-05-01T08:30:00Z', '2026-05-01T10:30:00.5+02:00') or as the preferred form of HTTP's
 * dates ('Fri, 01 May 2026 08:30:00 GMT'), as ms since 1970, rounded up. Null for anything else: without a zone, a day that
 * its month does not have, a leap second.
 */
export function parseMoment(text: string): number | null {
  const iso = RFC_3339.exec(text)
  if (iso !== null) return fromIso(iso)
  const http = HTTP_DATE.exec(text)
  return http === null ? null : fromHttp(http)
}

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/
const HTTP_DATE = /^(Sun|Mon|Tue|Wed|Thu|Fri|Sat), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function fromIso(match: RegExpExecArray): number | null {
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as SixNumbers
  const at = utcMs(year, month, day, hour, minute, second)
  if (at === null) return null
  const [, , , , , , , fraction = '0', sign, zoneHour, zoneMinute] = match
  if (Number(zoneHour ?? 0) > 23 || Number(zoneMinute ?? 0) > 59) return null
  const zoneMs = (Number(zoneHour ?? 0) * 60 + Number(zoneMinute ?? 0)) * 60_000
  const fractionMs = Math.ceil(Number(`0.${fraction}`) * 1_000)
  return at + fractionMs - (sign === '-' ? -zoneMs : zoneMs)
}

function fromHttp(match: RegExpExecArray): number | null {
  const [, dayName, day, monthName, year, hour, minute, second] = match
  const month = MONTHS.indexOf(monthName!) + 1
  const at = utcMs(Number(year), month, Number(day), Number(hour), Number(minute), Number(second))
  return at !== null && new Date(at).getUTCDay() === DAYS.indexOf(dayName!) ? at : null
}

type SixNumbers = [number, number, number, number, number, number]

/** Null where a calendar or a clock has no such moment; Date alone would turn 30 February into March. */
function utcMs(...[year, month, day, hour, minute, second]: SixNumbers): number | null {
  if (hour > 23 || minute > 59 || second > 59) return null
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  return date.setUTCHours(hour, minute, second, 0)
}

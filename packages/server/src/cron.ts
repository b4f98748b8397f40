import { Cron } from 'croner'

/** When a schedule fires; all times are wall ms since 1970. */
export interface CronTimes {
  /** The first time after `ms`; null when there is none. */
  nextAfter(ms: number): number | null
  /** The latest times up to and including `ms`, at most `count`, earliest first. */
  latestUpTo(ms: number, count: number): readonly number[]
}

/**
 * Five fields (minute, hour, day of month, month, day of week), or six with seconds first, in a time zone by its IANA
 * name. Throws for a pattern that is none.
 *
 * Where the clocks change: a pattern that names its hours and minutes (`30 2 * * *`) fires once a day, at the end of
 * the hour that is left out, and in the first of two hours that are the same. A pattern with `*` or a step goes by
 * time that passes: nothing in the hour that is left out, and in both of the hours that are the same.
 */
export function cronTimes(cron: string, timeZone: string): CronTimes {
  // Paused and without a function: croner only computes here, it sets no timer.
  const pattern = new Cron(cron, {
    paused: true,
    timezone: timeZone,
    mode: '5-or-6-parts',
    fixedTimeRule: 'no-wildcard',
  })
  return {
    nextAfter: (ms) => pattern.nextRun(new Date(ms))?.getTime() ?? null,
    latestUpTo(ms, count) {
      const before = pattern.previousRuns(count + 1, new Date(ms + 1_000)).map((date) => date.getTime())
      return before
        .filter((one) => one <= ms)
        .slice(0, count)
        .reverse()
    },
  }
}

/** Whether there is such a time zone; 'Europe/Berlin', 'UTC', not '+02:00'. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

export function timeZoneNames(): readonly string[] {
  return ['UTC', ...Intl.supportedValuesOf('timeZone')]
}

import type { CronTimes } from '../cron.ts'
import type { ScheduleOptions } from '../options.ts'

export interface Due {
  /** Times to make a task for, earliest first. */
  readonly fires: readonly number[]
  /** Times that passed without one being made at once; `MISSED_MAX` + 1 stands for more than that. */
  readonly missed: number
  /** The latest time that has come: the next one is counted from it. */
  readonly latestMs: number
}

/**
 * Which fires to make of those that came after `lastMs`, up to `nowMs`; at least one has. The latest is no miss while
 * it is at most `LATE_MS` late: a restart, or a partition that moves, takes that long. Of those that were missed
 * 'skip' makes none, 'once' the latest where that is one of them, and 'all' the latest `MISSED_MAX`.
 */
export function dueFires(times: CronTimes, policy: ScheduleOptions['missed'], lastMs: number, nowMs: number): Due {
  const came = cameBetween(times, lastMs, nowMs)
  const latestMs = came.at(-1)!
  const onTime = nowMs - latestMs <= LATE_MS
  const missed = onTime ? came.length - 1 : came.length
  if (policy === 'all') return { fires: came.slice(-MISSED_MAX), missed, latestMs }
  return { fires: onTime || policy === 'once' ? [latestMs] : [], missed, latestMs }
}

/** Most fires that 'all' makes up for. */
export const MISSED_MAX = 1_000
export const LATE_MS = 60_000

/** The first, and those up to `nowMs`; of more than `MISSED_MAX`, the latest and one more. */
function cameBetween(times: CronTimes, lastMs: number, nowMs: number): readonly number[] {
  const came = [times.nextAfter(lastMs)!]
  while (came.length <= MISSED_MAX) {
    const nextMs = times.nextAfter(came.at(-1)!)
    if (nextMs === null || nextMs > nowMs) return came
    came.push(nextMs)
  }
  return times.latestUpTo(nowMs, MISSED_MAX + 1)
}

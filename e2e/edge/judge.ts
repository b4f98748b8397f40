import type { TopicRow } from './read-rows.ts'

/** What became of the requests that nginx wrote to its files, judged by what docs/edge.md promises of each road. */
export interface Verdict {
  /** What should not be, one sentence each. */
  readonly wrongs: readonly string[]
  /** Records that came again. */
  readonly repeats: number
  /** Requests that the road did not bring, and that rows cover: by the time they ended, or by their number. */
  readonly lost: { readonly inStretches: number; readonly counted: number }
  /** How long the stretches that rows name are together, and how long no collector ran. ms */
  readonly stretches: { readonly namedMs: number; readonly downMs: number }
  /** Rows that were counted once each. */
  readonly rows: number
}

/** A stretch in which no collector ran. Wall ms. */
export interface Stretch {
  readonly fromMs: number
  readonly untilMs: number
}

export interface Evidence {
  /** Ids of requests, and when each ended, by nginx's own files. */
  readonly truth: ReadonlyMap<string, number>
  /** Records of one road, in the order of the log. */
  readonly rows: readonly TopicRow[]
}

/** The road of files: every request exactly once, no gap, nothing dropped. `sizes` are those of the files. */
export function judgeFiles({ truth, rows }: Evidence, sizes: readonly number[]): Verdict {
  const once = onceEach(rows)
  const wrongs = [...once.wrongs, ...madeUp(truth, once.rows)]
  for (const row of once.rows) {
    if (row.kind !== 'access') wrongs.push(`a row of kind ${row.kind} (${row.reason}) at ${row.place} ${row.first}`)
  }
  const seen = new Set(once.rows.map((row) => row.requestId))
  const missing = [...truth.keys()].filter((id) => !seen.has(id))
  if (missing.length > 0) wrongs.push(`${missing.length} requests have no row, such as ${missing[0]}`)
  const ends: number[] = []
  wrongs.push(...gapsOf(once.rows))
  for (const [place, intervals] of placesOf(once.rows)) {
    if (intervals[0]!.first !== 0) wrongs.push(`${place} begins at ${intervals[0]!.first}`)
    ends.push(intervals.at(-1)!.end)
  }
  const ordered = (numbers: readonly number[]) => numbers.filter((one) => one > 0).sort((one, two) => one - two)
  if (String(ordered(ends)) !== String(ordered(sizes))) {
    wrongs.push(`epochs end at ${ordered(ends)}, and the files are so long: ${ordered(sizes)}`)
  }
  return {
    wrongs,
    repeats: once.repeats,
    lost: { inStretches: 0, counted: 0 },
    stretches: NONE,
    rows: once.rows.length,
  }
}

/**
 * The road of datagrams: once each; what is missing ended in a stretch that a row names, or is among the lines that rows count.
 * And the stretches must not be idle talk: together they are not much longer than the outages.
 */
export function judgeDatagrams({ truth, rows }: Evidence, outages: readonly Stretch[]): Verdict {
  const once = onceEach(rows.filter(({ kind }) => kind !== 'dropped'))
  // What got to the collector has places one after the other; what did not has none.
  const wrongs = [...once.wrongs, ...madeUp(truth, once.rows), ...gapsOf(once.rows)]
  const seen = new Set(once.rows.map((row) => row.requestId))
  const drops = [
    ...new Map(rows.flatMap((row) => (row.kind === 'dropped' ? [[JSON.stringify(row), row]] : []))).values(),
  ]
  const absences = drops.filter(({ reason }) => reason === 'not-running')
  const counted = drops
    .filter(({ reason }) => reason !== 'not-running')
    .reduce((sum, { lines }) => sum + (lines ?? 0), 0)
  const others: number[] = []
  let inStretches = 0
  for (const [id, endedMs] of truth) {
    if (seen.has(id)) continue
    if (absences.some((row) => endedMs >= row.fromMs - CLOCK_MS && endedMs <= row.untilMs + CLOCK_MS)) inStretches++
    else others.push(endedMs)
  }
  const told = `not ${timesOf(absences)}; no collector ran ${timesOf(outages)}`
  if (others.length > counted) {
    const when = others.slice(0, 5).map(isoTime)
    wrongs.push(
      `${others.length} requests are missing that ended (${when}) when no row says so (${told}); rows count ${counted}`,
    )
  }
  const [namedMs, downMs] = [lengthOf(absences), lengthOf(outages)]
  const fairMs = Math.round(downMs * SAID_TOO_MUCH) + outages.length * SAID_TOO_MUCH_MS
  if (namedMs > fairMs) wrongs.push(`rows name ${namedMs} ms, and no more than ${fairMs} ms are fair (${told})`)
  const lost = { inStretches, counted }
  return { wrongs, repeats: once.repeats, lost, stretches: { namedMs, downMs }, rows: once.rows.length }
}

const NONE = { namedMs: 0, downMs: 0 }

/** All clocks are one machine's; what nginx writes has ms, and of a clock that is read twice either may be the earlier one. */
const CLOCK_MS = 2
/**
 * For each outage: a note of the collector is as old as this where its disk is slow, and a line may be sent late. A machine on which
 * a collector is long in coming back writes its notes late, too: half as much again.
 */
const SAID_TOO_MUCH_MS = 2_000
const SAID_TOO_MUCH = 1.5

/** Of all of them together, what is in several counted once. */
function lengthOf(stretches: readonly Stretch[]): number {
  let sum = 0
  let reachedMs = Number.NEGATIVE_INFINITY
  for (const { fromMs, untilMs } of [...stretches].sort((one, other) => one.fromMs - other.fromMs)) {
    sum += Math.max(0, untilMs - Math.max(fromMs, reachedMs))
    reachedMs = Math.max(reachedMs, untilMs)
  }
  return sum
}

function timesOf(some: readonly Stretch[]): string {
  return some.map(({ fromMs, untilMs }) => `${isoTime(fromMs)} to ${isoTime(untilMs)}`).join(', ')
}

function isoTime(ms: number): string {
  return Number.isNaN(ms) ? 'never' : new Date(ms).toISOString()
}

interface Once {
  readonly rows: readonly TopicRow[]
  readonly repeats: number
  readonly wrongs: readonly string[]
}

/** Drops what came again, as a reader does: by source, epoch and the first byte, which name a row for ever. */
function onceEach(records: readonly TopicRow[]): Once {
  const rows = new Map<string, TopicRow>()
  const ids = new Set<string>()
  const wrongs: string[] = []
  let repeats = 0
  for (const record of records) {
    const name = `${record.place} ${record.first}`
    const before = rows.get(name)
    if (before !== undefined) {
      repeats++
      const same = before.end === record.end && before.requestId === record.requestId
      if (!same) wrongs.push(`${name} stands for two rows: ${before.requestId} and ${record.requestId}`)
      continue
    }
    rows.set(name, record)
    if (record.requestId === '') continue
    if (ids.has(record.requestId)) wrongs.push(`${record.requestId} has two places; one is ${name}`)
    ids.add(record.requestId)
  }
  return { rows: [...rows.values()], repeats, wrongs }
}

function madeUp(truth: ReadonlyMap<string, number>, rows: readonly TopicRow[]): string[] {
  return rows
    .filter(({ kind, requestId }) => kind === 'access' && !truth.has(requestId))
    .map(({ requestId, place }) => `${requestId} of ${place} is no request that nginx knows`)
}

/** Where a row does not begin at the end of the one before it, in its epoch. */
function gapsOf(rows: readonly TopicRow[]): string[] {
  const gaps: string[] = []
  for (const [place, intervals] of placesOf(rows)) {
    for (const [index, { end }] of intervals.slice(0, -1).entries()) {
      const next = intervals[index + 1]!.first
      if (next !== end) gaps.push(`${place}: a row ends at ${end} and the next begins at ${next}`)
    }
  }
  return gaps
}

function placesOf(rows: readonly TopicRow[]): Map<string, { first: number; end: number }[]> {
  const places = new Map<string, { first: number; end: number }[]>()
  for (const { place, first, end } of rows) {
    const known = places.get(place)
    if (known === undefined) places.set(place, [{ first, end }])
    else known.push({ first, end })
  }
  for (const intervals of places.values()) intervals.sort((one, two) => one.first - two.first)
  return places
}

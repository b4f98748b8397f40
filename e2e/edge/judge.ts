import type { TopicRow } from './read-rows.ts'

/** What became of the requests that nginx wrote to its files, judged by what docs/edge.md promises of each road. */
export interface Verdict {
  /** What should not be, one sentence each. */
  readonly wrongs: readonly string[]
  /** Records that came again. */
  readonly repeats: number
  /** Requests that the road did not bring, and may not have brought. */
  readonly lost: { readonly whileDown: number; readonly told: number }
  /** Rows that were counted once each. */
  readonly rows: number
}

/** A stretch in which no collector ran, or one that was about to die. Wall ms. */
export interface Outage {
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
  return { wrongs, repeats: once.repeats, lost: { whileDown: 0, told: 0 }, rows: once.rows.length }
}

/**
 * The road of datagrams: once each; what is missing ended while no collector ran, or is told in rows, or was the first to be sent
 * after it: the kernel tells nginx of the datagram before, that nobody took, in the place of sending this one.
 */
export function judgeDatagrams({ truth, rows }: Evidence, outages: readonly Outage[]): Verdict {
  const once = onceEach(rows.filter(({ kind }) => kind !== 'dropped'))
  // What got to the collector has places one after the other; what did not has none.
  const wrongs = [...once.wrongs, ...madeUp(truth, once.rows), ...gapsOf(once.rows)]
  const seen = new Set(once.rows.map((row) => row.requestId))
  const told = new Map(
    rows.filter(({ kind }) => kind === 'dropped').map((row) => [JSON.stringify(row), row.lines ?? 0]),
  )
  const toldLines = [...told.values()].reduce((sum, lines) => sum + lines, 0)
  const ends = [...truth.values()].sort((one, two) => one - two)
  const down = outages.map(({ fromMs, untilMs }) => ({
    fromMs,
    untilMs: ends.find((endedMs) => endedMs > untilMs) ?? untilMs,
  }))
  const others: number[] = []
  let whileDown = 0
  for (const [id, endedMs] of truth) {
    if (seen.has(id)) continue
    if (down.some(({ fromMs, untilMs }) => endedMs >= fromMs && endedMs <= untilMs)) whileDown++
    else others.push(endedMs)
  }
  if (others.length > toldLines) {
    const when = others.slice(0, 5).map((endedMs) => new Date(endedMs).toISOString())
    const down = outages.map(({ fromMs, untilMs }) =>
      [fromMs, untilMs].map((ms) => new Date(ms).toISOString()).join(' to '),
    )
    wrongs.push(
      `${others.length} requests are missing that ended (${when}) while a collector ran (not ${down}); rows tell of ${toldLines}`,
    )
  }
  return { wrongs, repeats: once.repeats, lost: { whileDown, told: toldLines }, rows: once.rows.length }
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

import { type Broker, systemClock } from '@forebay/broker'
import type { DroppedRow, Intervals } from '@forebay/edge'
import type { ServerOptions } from '@forebay/server'
import { printable } from '../printable.ts'
import { CLOCK_OFF_MS_MAX } from './collector-checks.ts'
import { type Finding, found } from './finding.ts'

/** Reads what came in of late, and says what is missing in it and whose clock is off. */
export async function checkRows({ edge }: ServerOptions, log: Broker, sinceMs: number): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const topic of new Set([edge.topic, edge.logsTopic])) {
    const rows = await readRows(log, topic, sinceMs)
    if (rows === null) findings.push(found('rows', 'skip', topic, 'the topic is not there'))
    else findings.push(...judged(topic, rows, sinceMs, topic === edge.topic))
  }
  return findings
}

interface Rows {
  count: number
  isCut: boolean
  readonly places: Map<string, Intervals>
  readonly told: Map<string, { readonly row: DroppedRow; lines: number }>
  /** By server: least and greatest of row time less record time. ms */
  readonly offsets: Map<string, { leastMs: number; greatestMs: number }>
}

async function readRows(log: Broker, topic: string, sinceMs: number): Promise<Rows | null> {
  const states = await log.inspect({ topics: [topic] })
  if (states.length === 0) return null
  const { Intervals, readPosition } = await import('@forebay/edge')
  const rows: Rows = { count: 0, isCut: false, places: new Map(), told: new Map(), offsets: new Map() }
  for (const { partition, start, end } of states) {
    if (end <= start) continue
    const listener = await log.listen({ topic, partition, from: { timeMs: sinceMs } })
    const late = systemClock.timer(READ_WITHIN_MS, () => {
      rows.isCut = true
      void listener.close()
    })
    try {
      if (listener.from >= end) continue
      for await (const records of listener) {
        for (const record of records) {
          rows.count++
          const position = readPosition(record)
          if (position === null || record.value === null) continue
          const { source, epoch, first, end: last } = position
          const row = parsed(record.value)
          if (row?.kind === 'dropped') tell(rows, row as unknown as DroppedRow)
          else {
            const name = `${source}@${epoch}`
            const places = rows.places.get(name) ?? new Intervals()
            rows.places.set(name, places)
            places.add(first, last)
          }
          if (row?.kind === 'access') compare(rows, row, record.timestampMs)
        }
        if ((records.at(-1)?.offset ?? 0) + 1 >= end) break
        if (rows.count >= ROWS_MAX) {
          rows.isCut = true
          break
        }
      }
    } finally {
      late.cancel()
      await listener.close()
    }
  }
  return rows
}

function tell({ told }: Rows, row: DroppedRow): void {
  const name = `${row.reason} ${row.source}@${row.epoch} ${row.first} ${row.from ?? ''} ${row.until ?? ''}`
  const known = told.get(name)
  if (known === undefined) told.set(name, { row, lines: row.lines ?? 0 })
}

function compare({ offsets }: Rows, { server, time }: Record<string, unknown>, recordMs: number): void {
  const offMs = Date.parse(String(time)) - recordMs
  if (Number.isNaN(offMs) || typeof server !== 'string') return
  const known = offsets.get(server)
  if (known === undefined) {
    if (offsets.size < SERVERS_MAX) offsets.set(server, { leastMs: offMs, greatestMs: offMs })
    return
  }
  known.leastMs = Math.min(known.leastMs, offMs)
  known.greatestMs = Math.max(known.greatestMs, offMs)
}

function judged(topic: string, rows: Rows, sinceMs: number, isExpected: boolean): Finding[] {
  const { count, places, told, offsets, isCut } = rows
  const minutes = Math.round((systemClock.wallMs() - sinceMs) / 60_000)
  const span = `the last ${minutes} min${isCut ? ` (only the first ${count} rows of them)` : ''}`
  if (count === 0) {
    if (!isExpected) return [found('sequence', 'ok', topic, `no rows in ${span}: no service has logged`)]
    return [
      found(
        'sequence',
        'warn',
        topic,
        `no rows in ${span}`,
        'If nginx had requests: see the checks of files and roads above.',
      ),
    ]
  }
  const findings: Finding[] = []
  for (const [name, seen] of places) {
    const missing = seen.gaps().filter((gap) => !isTold(told, name, gap))
    if (missing.length === 0) continue
    const shown = missing.slice(0, GAPS_SHOWN).map(({ first, end }) => `${first}–${end}`)
    const more = missing.length > GAPS_SHOWN ? ` and ${missing.length - GAPS_SHOWN} more` : ''
    findings.push(
      found(
        'sequence',
        'fail',
        printable(name),
        `places ${shown.join(', ')}${more} are missing on ${topic}, and no row says why`,
        'Ask again in a minute: what is sent again may come late. If it stays: was the topic cut by retention, or do two collectors share a name or a data folder?',
      ),
    )
  }
  for (const { row, lines } of told.values()) {
    findings.push(
      found(
        'sequence',
        'warn',
        printable(`${row.source}@${row.epoch}`),
        printable(`${lossOf(row, lines)}, and told: ${row.reason}`),
        LOST[row.reason] ?? 'See docs/edge.md.',
      ),
    )
  }
  if (!findings.some(({ state }) => state === 'fail')) {
    findings.unshift(
      found(
        'sequence',
        'ok',
        topic,
        `${count} rows of ${places.size} epochs in ${span}, nothing missing that is not told`,
      ),
    )
  }
  return [...findings, ...clockFindings(offsets)]
}

function isTold(told: Rows['told'], name: string, { first, end }: { first: number; end: number }): boolean {
  for (const { row } of told.values()) {
    if (`${row.source}@${row.epoch}` === name && row.first <= first && (row.end === null || end <= row.end)) return true
  }
  return false
}

function lossOf({ from, until, lines: said }: DroppedRow, lines: number): string {
  if (until !== undefined) return `requests that ended from ${from ?? 'an unknown time'} to ${until} may be missing`
  return said === null ? 'nobody knows how many lines are lost' : `${lines} lines are lost`
}

const LOST: Readonly<Partial<Record<string, string>>> = {
  'spool-full': 'Give edge.spool.max more room, or find out why the log was away for so long.',
  socket: 'The UDP socket was full: use a file (access_log FILE), or raise net.core.rmem_max.',
  'file-gone': 'Keep rotated files longer (logrotate: rotate, delaycompress), and do not use copytruncate.',
  'spool-torn': 'The machine or its disk failed while the spool was written.',
  'not-running':
    'UDP was sent while no collector ran, or as it was killed: use a file (access_log FILE), which is read later.',
  sender: 'The sender had no room while the collector was away: raise its buffer.',
}

/** A row cannot be written before it happened. A late one may be late for good reasons. */
function clockFindings(offsets: Rows['offsets']): Finding[] {
  return [...offsets].flatMap(([server, { greatestMs }]) => {
    const seconds = (Math.abs(greatestMs) / 1_000).toFixed(1)
    if (greatestMs > CLOCK_OFF_MS_MAX) {
      const saw = `its rows say they ended ${seconds} s after they were published: its clock is ahead of the collector's`
      return [
        found(
          'nginx clock',
          'fail',
          printable(server),
          saw,
          'Let both keep time by NTP: timedatectl status, chronyc tracking.',
        ),
      ]
    }
    if (greatestMs < -LATE_MS_MAX) {
      const saw = `even its quickest row was published ${seconds} s after it ended`
      return [
        found(
          'nginx clock',
          'warn',
          printable(server),
          saw,
          'Its clock is behind, or the collector was; ask again while requests come in.',
        ),
      ]
    }
    return [found('nginx clock', 'ok', printable(server), `its quickest row was published ${seconds} s after it ended`)]
  })
}

function parsed(value: Uint8Array): Record<string, unknown> | null {
  try {
    return JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()) as Record<
      string,
      unknown
    >
  } catch {
    return null
  }
}

const ROWS_MAX = 500_000
/** Of one partition. */
const READ_WITHIN_MS = 20_000
const SERVERS_MAX = 100
const GAPS_SHOWN = 3
const LATE_MS_MAX = 60_000

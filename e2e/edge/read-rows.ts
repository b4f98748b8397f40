import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** One record of the topic of rows, as kcat reads it: a client nobody here wrote. */
export interface TopicRow {
  /** `SOURCE@EPOCH`. */
  readonly place: string
  readonly first: number
  readonly end: number
  readonly kind: string
  readonly requestId: string
  /** When the request ended, or the row was written. Wall ms. */
  readonly timeMs: number
  readonly path: string
  readonly query: string
  readonly method: string
  readonly status: number | null
  readonly task: string
  /** Of dropped rows. */
  readonly reason: string
  readonly lines: number | null
  /** Of rows with the reason not-running: when what they tell of ended. Wall ms; NaN in others. */
  readonly fromMs: number
  readonly untilMs: number
}

/** Every record, in the order of the log. */
export async function readRows(bootstrap: string, topic: string): Promise<TopicRow[]> {
  const kcat = spawn('kcat', ['-C', '-e', '-q', '-o', 'beginning', '-b', bootstrap, '-t', topic, '-f', '%h\t%s\n'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(kcat, 'exit')
  const rows: TopicRow[] = []
  for await (const line of createInterface({ input: kcat.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
    const tab = line.indexOf('\t')
    const [, place, first, end] = HEADERS.exec(line.slice(0, tab)) ?? []
    if (place === undefined) throw new Error(`a record says not where it comes from: ${line.slice(0, 300)}`)
    rows.push({ place, first: Number(first), end: Number(end), ...membersOf(line.slice(tab + 1)) })
  }
  const [code] = await exited
  if (code !== 0) throw new Error(`kcat could not read ${topic} (exit ${code})`)
  return rows
}

const HEADERS = /(?:^|,)fb-source=([^,]*),fb-sequence=(\d+)-(\d+)/

/** What a line of nginx's files says of its request. */
export function requestOf(line: string): Pick<TopicRow, 'requestId' | 'timeMs'> {
  const { requestId, clock } = JSON.parse(line) as { requestId: string; clock: number }
  return { requestId, timeMs: Math.round(clock * 1_000) }
}

function membersOf(json: string): Omit<TopicRow, 'place' | 'first' | 'end'> {
  const said = JSON.parse(json) as Partial<Record<keyof TopicRow | 'time' | 'from' | 'until', unknown>>
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const number = (value: unknown) => (typeof value === 'number' ? value : null)
  return {
    kind: text(said.kind),
    requestId: text(said.requestId),
    timeMs: Date.parse(text(said.time)),
    path: text(said.path),
    query: text(said.query),
    method: text(said.method),
    status: number(said.status),
    task: text(said.task),
    reason: text(said.reason),
    lines: number(said.lines),
    fromMs: Date.parse(text(said.from)),
    untilMs: Date.parse(text(said.until)),
  }
}

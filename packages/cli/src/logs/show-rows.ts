import { printable } from '../printable.ts'
import { tableLines } from '../table.ts'

export interface LogColumn {
  readonly name: string
  readonly type: string
}

export type LogObject = Readonly<Record<string, unknown>>

export function objectOf(columns: readonly LogColumn[], row: readonly unknown[]): LogObject {
  return Object.fromEntries(columns.map(({ name }, index) => [name, row[index]]))
}

/** For people: as wide as it needs to be, with nothing in it that steers a terminal. */
export function rowLines(columns: readonly LogColumn[], rows: readonly (readonly unknown[])[]): readonly string[] {
  return tableLines(
    columns.map(({ name }) => printable(name)),
    rows.map((row) => row.map((value) => printable(textOf(value)))),
  )
}

/** RFC 4180. What a spreadsheet would take for a formula is left as it is: these are data. */
export function csvLine(values: readonly unknown[]): string {
  return values.map((value) => quoted(textOf(value))).join(',')
}

/** One request a line: when, what came of it, how long it took, what it was. */
export function tailLine(row: LogObject): string {
  if (row.method === undefined || row.status === undefined) {
    return printable(
      Object.entries(row)
        .map(([name, value]) => `${name}=${textOf(value)}`)
        .join(' '),
    )
  }
  const seconds = typeof row.seconds === 'number' ? `${row.seconds.toFixed(3)}s` : ''
  const query = row.query === '' || row.query === null ? '' : `?${textOf(row.query)}`
  const task = row.task === '' || row.task === null ? '' : `task ${textOf(row.task)}`
  const parts = [row.time, row.status, seconds, row.client, row.method, `${textOf(row.path)}${query}`, task]
  return printable(
    parts
      .map(textOf)
      .filter((text) => text !== '')
      .join('  '),
  )
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

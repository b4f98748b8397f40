import type { IncomingRow } from '../parquet-writer.ts'
import { type ColumnType, TABLE_OF_KIND, TABLES, type TableName } from '../tables.ts'

/** A row as its table takes it. */
export interface RowToInsert {
  readonly row: IncomingRow
  readonly table: TableName
  /** 2026-11-21: of its time, or of its record where the two are far apart. */
  readonly day: string
  readonly values: Readonly<Record<string, unknown>>
}

/** Whatever the document is, the row has a table that takes it. */
export function rowToInsert(row: IncomingRow): RowToInsert {
  const document = documentOf(row.document)
  if (document === null) return undecodableRow(row, 'not-json')
  const table = row.table ?? TABLE_OF_KIND[String(document.kind)] ?? 'others'
  const recordTime = new Date(row.recordMs).toISOString()
  const said = timeOf(document.time)
  const values: Record<string, unknown> = {}
  for (const { name, type, member } of COLUMNS.get(table)!) {
    const value = table === 'others' && member === 'document' ? document : document[member]
    const converted = columnValue(type, value)
    if (converted === TOO_DEEP) return undecodableRow(row, 'too-deep')
    values[name] = converted
  }
  values.time = said ?? recordTime
  return insertable(row, table, values, said ?? recordTime)
}

/** For what the server itself cannot take. */
export function undecodableRow(row: IncomingRow, reason: 'not-json' | 'too-deep' | 'not-storable'): RowToInsert {
  const time = new Date(row.recordMs).toISOString()
  const bytes = Buffer.from(row.document).toString('base64')
  return insertable(row, 'undecodable', { time, reason, bytes, continues: false }, time)
}

function insertable(
  row: IncomingRow,
  table: TableName,
  values: Readonly<Record<string, unknown>>,
  time: string,
): RowToInsert {
  const { recordMs, source, epoch, first, end } = row
  const timeMs = Date.parse(time)
  const isNear = timeMs >= recordMs - LATE_MS_MAX && timeMs <= recordMs + EARLY_MS_MAX
  const day = (isNear ? time : new Date(recordMs).toISOString()).slice(0, 10)
  const place = { source: storable(source), epoch: storable(epoch), first_byte: first, end_byte: end }
  return { row, table, day, values: { ...values, ...place, day } }
}

function documentOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : null
  } catch {
    return null
  }
}

function columnValue(type: ColumnType, value: unknown): unknown {
  if (value === undefined || value === null) return null
  switch (type) {
    case 'text':
      return storable(typeof value === 'string' ? value : JSON.stringify(value))
    case 'integer': {
      const number = numberOf(value)
      return number !== null && Math.abs(number) < INTEGER_MAX ? Math.round(number) : null
    }
    case 'number':
      return numberOf(value)
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'time':
      return timeOf(value)
    case 'json':
      return storableDocument(value, 0)
  }
}

function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : null
}

/** ISO 8601 in UTC, to the microsecond; null for what is no time, or of another age. */
function timeOf(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const fraction = ISO_TIME.exec(value)
  const ms = fraction === null ? Number.NaN : Date.parse(value)
  if (!(ms >= EARLIEST_MS && ms < LATEST_MS)) return null
  return `${new Date(ms).toISOString().slice(0, -1)}${(fraction![1] ?? '').slice(3, 6)}Z`
}

/** PostgreSQL's texts hold neither NUL nor half a character. */
function storable(text: string): string {
  const whole = text.toWellFormed()
  return whole.includes('\0') ? whole.replaceAll('\0', '\uFFFD') : whole
}

function storableDocument(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return storable(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === DEPTH_MAX) return TOO_DEEP
  const copied: [string, unknown][] = []
  for (const [name, member] of Object.entries(value)) {
    const copy = storableDocument(member, depth + 1)
    if (copy === TOO_DEEP) return TOO_DEEP
    copied.push([storable(name), copy])
  }
  return Array.isArray(value) ? copied.map(([, member]) => member) : Object.fromEntries(copied)
}

const COLUMNS = new Map(TABLES.map(({ name, columns }) => [name, columns]))
const TOO_DEEP = Symbol('too deep')
/** Far below what the server's stack holds. */
const DEPTH_MAX = 100
const INTEGER_MAX = 2 ** 63
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d)$/
const EARLIEST_MS = Date.parse('1900-01-01T00:00:00Z')
const LATEST_MS = Date.parse('9999-12-31T00:00:00Z')
/** As for files: a clock that is wrong cannot make thousands of days. */
const LATE_MS_MAX = 48 * 3_600_000
const EARLY_MS_MAX = 3_600_000

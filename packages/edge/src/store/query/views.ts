import type { Catalogue, LogFile } from '../catalogue.ts'
import { sqlText } from '../duck.ts'
import { duckType, parquetPath } from '../parquet-writer.ts'
import { ENDED, PLACE_COLUMNS, TABLES, type Table } from '../tables.ts'
import type { Ask } from './messages.ts'

/** Every table and view that queries know, over the files of this moment. */
export function viewsOf(catalogue: Catalogue, dir: string, sinceMs: number | undefined): Ask['views'] {
  const files = Map.groupBy(catalogue.files(), ({ table }) => table)
  const tables = TABLES.map((table) => {
    const own = (files.get(table.name) ?? []).filter(({ lastMs }) => sinceMs === undefined || lastMs >= sinceMs)
    return [table.name, selectOf(table, own, dir, sinceMs)] as const
  })
  return [...tables, ...DERIVED]
}

export function selectOf(table: Table, files: readonly LogFile[], dir: string, sinceMs?: number): string {
  const columns = [
    ...table.columns.map((column) => [column.name, column.type === 'json' ? 'JSON' : duckType(column)] as const),
    ...PLACE_COLUMNS.map((name) => [name, name.endsWith('_byte') ? 'BIGINT' : 'VARCHAR'] as const),
  ]
  if (files.length === 0) {
    const nothing = columns.map(([name, type]) => `NULL::${type} AS ${name}`)
    return `SELECT ${nothing.join(', ')} WHERE false`
  }
  const paths = files.map((file) => sqlText(parquetPath(dir, file))).join(', ')
  const where = sinceMs === undefined ? '' : ` WHERE time >= make_timestamp(${sinceMs * 1000})`
  const typed = columns.map(([name, type]) => (type === 'JSON' ? `${name}::JSON AS ${name}` : name))
  return `SELECT ${typed.join(', ')} FROM ${withAdded(table, `read_parquet([${paths}], union_by_name = true)`)}${where}`
}

/** Perhaps all of the files are older than a column. */
function withAdded({ addedColumns }: Table, files: string): string {
  if (addedColumns.length === 0) return files
  const added = addedColumns.map((column) => `NULL::${duckType(column)} AS ${column.name}`)
  return `(SELECT ${added.join(', ')} WHERE false UNION ALL BY NAME SELECT * FROM ${files})`
}

/** Of several records of a task the one that holds is the greatest. */
const DECIDING = `(generation, ${ENDED}, time)`

/** What several records say of one task. */
const DERIVED: readonly (readonly [name: string, select: string])[] = [
  [
    'tasks',
    `SELECT task, max(queue) AS queue, max(key) AS key, max(owner) AS owner,
      arg_max(state, ${DECIDING}) AS state,
      min(time) FILTER (state = 'accepted') AS accepted,
      min(time) FILTER (state = 'running') AS started,
      max(time) FILTER (${ENDED}) AS finished,
      max(attempts) AS attempts, max(trace) AS trace,
      arg_max_null(code, ${DECIDING}) AS code
    FROM task_records GROUP BY task`,
  ],
  [
    'attempts',
    `SELECT task, queue, generation, attempts AS attempt,
      min(time) FILTER (state = 'running') AS started,
      max(time) FILTER (state <> 'running') AS ended,
      arg_max(state, time) AS state,
      arg_max(code, time) FILTER (code IS NOT NULL) AS code,
      arg_max(detail, time) FILTER (detail IS NOT NULL) AS detail
    FROM task_records WHERE attempts > 0 AND state NOT IN ('accepted', 'pending')
    GROUP BY task, queue, generation, attempts`,
  ],
]

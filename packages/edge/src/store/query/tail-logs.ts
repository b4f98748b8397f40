import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { parquetFolder } from '../parquet-writer.ts'
import { TABLES } from '../tables.ts'
import { LIMITS_DEFAULT } from './limits.ts'
import { openCatalogue } from './query-logs.ts'
import { type Answered, QueryProcess } from './query-process.ts'
import { selectOf } from './views.ts'

export interface TailOptions {
  /** Default 'access'. */
  readonly table?: string
  /** A condition of SQL over the table's columns. */
  readonly where?: string
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

/**
 * Rows as the store gets them, from now on, until the signal aborts. Columns come once, first. Throws as `queryLogs`.
 */
export async function* tailLogs(
  dir: string,
  { table: name = 'access', where = 'true', signal, clock = systemClock }: TailOptions = {},
): AsyncGenerator<Exclude<Answered, { readonly end: unknown }>> {
  const table = TABLES.find((one) => one.name === name)
  if (table === undefined) {
    const message = `There is no table ${JSON.stringify(name)}: write one of ${TABLES.map((one) => one.name).join(', ')}.`
    throw new ForebayError('BAD_REQUEST', message, { members: { field: 'table' } })
  }
  const catalogue = await openCatalogue(dir)
  const { memoryBytes } = LIMITS_DEFAULT
  const running = new QueryProcess({ dir: parquetFolder(dir), memoryBytes, threads: 1 })
  const leaving = signal ?? new AbortController().signal
  const sql = `SELECT * FROM ${table.name} WHERE (${where}\n)`
  try {
    let lastId = catalogue.lastId
    for (let isFirst = true; !leaving.aborted; isFirst = false) {
      const files = catalogue.freshAfter(lastId, table.name)
      if (isFirst || files.length > 0) {
        const views = [[table.name, selectOf(table, files, dir)]] as const
        for await (const part of running.ask({ views, sql, rowsMax: Number.MAX_SAFE_INTEGER }, leaving)) {
          if ('rows' in part || ('columns' in part && isFirst)) yield part
        }
        lastId = files.at(-1)?.id ?? lastId
      }
      await clock.sleep(LOOK_EVERY_MS, leaving)
    }
  } catch (thrown) {
    if (!leaving.aborted) throw thrown
  } finally {
    catalogue.close()
    await running.close()
  }
}

const LOOK_EVERY_MS = 300

import { existsSync } from 'node:fs'
import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { Catalogue, cataloguePath } from '../catalogue.ts'
import { parquetFolder } from '../parquet-writer.ts'
import { type QueryLimits, resolveLimits } from './limits.ts'
import { type Answered, QueryProcess } from './query-process.ts'
import { viewsOf } from './views.ts'

/**
 * Answers one SELECT over the rows that are in the store at this moment, also while it is written, from any process.
 * Throws LOGS_UNAVAILABLE, QUERY_REFUSED, QUERY_LIMIT, BAD_REQUEST.
 */
export async function* queryLogs(
  dir: string,
  sql: string,
  {
    signal,
    clock = systemClock,
    ...given
  }: QueryLimits & { readonly signal?: AbortSignal; readonly clock?: Clock } = {},
): AsyncGenerator<Answered> {
  const limits = resolveLimits(given)
  const catalogue = await openCatalogue(dir)
  const timeOver = new AbortController()
  const timer = clock.timer(limits.timeoutMs, () => timeOver.abort(tooSlow(limits.timeoutMs)))
  const either = signal === undefined ? timeOver.signal : AbortSignal.any([timeOver.signal, signal])
  let running: QueryProcess | null = null
  try {
    const views = viewsOf(catalogue, dir, limits.sinceMs)
    running = new QueryProcess({ dir: parquetFolder(dir), memoryBytes: limits.memoryBytes, threads: limits.threads })
    yield* running.ask({ views, sql, rowsMax: limits.rowsMax }, either)
  } finally {
    timer.cancel()
    catalogue.close()
    await running?.close()
  }
}

export async function openCatalogue(dir: string): Promise<Catalogue> {
  if (!existsSync(cataloguePath(dir))) {
    throw new ForebayError('LOGS_UNAVAILABLE', `There is no log store in ${dir}: a process with role logs makes one.`)
  }
  return Catalogue.open(cataloguePath(dir), 'read')
}

function tooSlow(timeoutMs: number): ForebayError {
  const message = `The query took longer than ${timeoutMs / 1000} s: ask for less time (--since), or allow more (--timeout).`
  return new ForebayError('QUERY_LIMIT', message)
}

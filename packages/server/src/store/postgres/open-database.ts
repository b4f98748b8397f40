import { type Backoff, backoffMs, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type Database, sqlStateOf } from './database.ts'
import { migrate } from './migrations.ts'
import type { ResolvedPostgresStore } from './options.ts'

/**
 * Waits for a server that is not there yet, and brings its schema to this version. Throws STORE_UNAVAILABLE after
 * `openTimeoutMs`, CONFIG_INVALID for what waiting will not mend: user, password, database, rights, version.
 */
export async function openDatabase(database: Database, options: ResolvedPostgresStore): Promise<void> {
  const { clock, schema, openTimeoutMs } = options
  const begunMs = clock.monotonicMs()
  try {
    for (let failures = 0; ; failures++) {
      try {
        return await migrate(database, schema)
      } catch (error) {
        const state = sqlStateOf(error)
        if (state !== null && NEEDS_MENDING.test(state)) throw needsMending(database, error as ForebayError)
        const isPassing = error instanceof ForebayError && error.code === 'STORE_UNAVAILABLE'
        const pauseMs = backoffMs(RETRY, failures, systemRandom)
        if (!isPassing || clock.monotonicMs() - begunMs + pauseMs > openTimeoutMs) throw error
        await clock.sleep(pauseMs)
      }
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

const RETRY: Backoff = { firstMs: 100, maxMs: 2_000 }
/** Who may not come in, what is not there, what is not allowed. */
const NEEDS_MENDING = /^(28...|3D000|3F000|42501)$/

function needsMending({ address }: Database, error: ForebayError): ForebayError {
  const { message } = error.cause as Error
  return new ForebayError(
    'CONFIG_INVALID',
    `PostgreSQL at ${address} does not let Forebay work (${message}); mend user, password, database or its rights.`,
    { cause: error.cause, members: { address } },
  )
}

import { DatabaseSync } from 'node:sqlite'
import type { Broker } from '@forebay/broker'
import { createConsumer, type EventLog, sqliteInbox } from '@forebay/events'
import { fastify } from 'fastify'
import type { Logger } from 'pino'
import { userAccountVerified } from '../events.ts'
import type { Service } from '../service-process.ts'
import { continueTrace } from '../trace.ts'

export interface RecommendationServiceOptions {
  readonly broker: Broker | EventLog
  /** The path of a SQLite file: each service has the database it likes. */
  readonly database: string
  /** 0: a free one. */
  readonly port: number
  readonly host?: string
  readonly log: Logger
}

/**
 * Thought of when the others were long at work: it reads of verified accounts from the beginning of the log, and nobody
 * changed a line for it.
 */
export async function startRecommendationService(
  options: RecommendationServiceOptions,
): Promise<Service & { readonly url: string }> {
  const { broker, database: path, port, host = '127.0.0.1', log } = options
  await using started = new AsyncDisposableStack()
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
  started.defer(() => database.close())
  const inbox = sqliteInbox({ group: GROUP })
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec(TABLE)
  inbox.migrate(database)
  const insert = database.prepare('INSERT INTO readers (user_id, first_name, verified_at) VALUES (?, ?, ?)')
  const select = database.prepare('SELECT seq, user_id, first_name FROM readers WHERE seq > ? ORDER BY seq LIMIT ?')
  const count = database.prepare('SELECT count(*) AS count FROM readers')

  const consumer = await createConsumer({
    broker,
    group: GROUP,
    events: [userAccountVerified],
    handlers: {
      user_account_verified(event) {
        const { userId, firstName, verifiedAt } = event.data
        database.exec('BEGIN IMMEDIATE')
        try {
          // The row and the mark that the event is done are there together, or neither.
          const isFirst = inbox.once(database, event, () => void insert.run(userId, firstName, verifiedAt))
          database.exec('COMMIT')
          log.info(
            { traceId: continueTrace(event.traceparent).traceId, event: event.id, isFirst },
            'A reader is known.',
          )
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK')
          throw error
        }
      },
    },
    log,
  })
  started.defer(async () => void (await consumer.stop()))

  const app = fastify({ forceCloseConnections: 'idle' })
  app.get<{ Querystring: { after?: string } }>('/api/recommendations', async ({ query }) => {
    const after = Number.parseInt(query.after ?? '0', 10) || 0
    const rows = select.all(after, PAGE_ROWS) as unknown as readonly Reader[]
    return {
      total: Number(count.get()?.count),
      readers: rows.map(({ user_id, first_name }) => ({
        userId: user_id,
        firstName: first_name,
        books: picks(user_id),
      })),
      ...(rows.length === PAGE_ROWS ? { next: rows.at(-1)?.seq } : {}),
    }
  })
  started.defer(() => app.close())
  const url = await app.listen({ port, host })
  const running = started.move()
  const stop = () => running.disposeAsync()
  return { url, stop, [Symbol.asyncDispose]: stop }
}

interface Reader {
  readonly seq: number
  readonly user_id: string
  readonly first_name: string
}

const GROUP = 'recommendation-service'
const LOCK_WAIT_MS = 5_000
const PAGE_ROWS = 100
const TABLE = `CREATE TABLE IF NOT EXISTS readers (
  seq INTEGER PRIMARY KEY,
  user_id TEXT NOT NULL UNIQUE,
  first_name TEXT NOT NULL,
  verified_at TEXT NOT NULL
) STRICT`
const BOOKS = ['Middlemarch', 'The Trial', 'Kokoro', 'Things Fall Apart', 'The Leopard', 'Pedro Páramo', 'Effi Briest']
const PICKS = 3

/** Not clever, but the same each time. */
function picks(userId: string): readonly string[] {
  let first = 0
  for (const character of userId) first = (first * 31 + character.charCodeAt(0)) % BOOKS.length
  return Array.from({ length: PICKS }, (_, index) => BOOKS[(first + index) % BOOKS.length]!)
}

import type { PostgresConnections } from '../postgres-client.ts'
import type { OutboxLag, OutboxRow, OutboxRows } from './outbox-rows.ts'

/** What we ask of a client of `pg` to listen with. */
export interface PostgresListener {
  connect(): Promise<unknown>
  query(text: string): Promise<unknown>
  on(event: 'notification' | 'end', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  end(): Promise<void>
}

/**
 * Every call is one statement of its own: nothing is kept in a session, so a pooler in transaction mode may stand between,
 * and no transaction is open while the log is waited for.
 *
 * Why no row is skipped: each row says itself whether it is done, and there is no position to be passed. One whose
 * transaction took a low number and commits late is pending from then on, and the lowest of all.
 *
 * Why the order of a key holds: let two transactions publish under one key, each while it holds a lock that only one can hold
 * (of the row that the event is about, or by `lockKeys`). The second gets the lock when the first has ended. So its number is the
 * higher one, as numbers are handed out one by one; and every snapshot that shows its row shows the first one's, as
 * PostgreSQL makes a commit visible before it lets go of the locks. Whoever reads all pending rows by number therefore
 * never sees the second without having seen the first.
 *
 * Reading only below a snapshot's xmin, ordered by (xid, seq), would be weaker: a transaction gets its xid at its first write,
 * which may be long before it takes the lock. Let 9 and 12 both write something, 12 take the lock, publish and commit,
 * then 9 take it, publish and commit, while 10 goes on: 9 is below xmin, 12 is not, and 9 would come first. One
 * transaction that stays open would stop everybody besides.
 *
 * Without a common lock two transactions are ordered by nothing but their commits, and these only show as far as somebody
 * looks in between: rows that are found together go by number, others as they were found. None is skipped.
 */
export class PostgresRows implements OutboxRows {
  readonly name: string
  readonly listen: OutboxRows['listen']
  readonly #connections: PostgresConnections

  constructor(table: string, connections: PostgresConnections, listener: (() => PostgresListener) | null) {
    this.name = table
    this.#connections = connections
    this.listen = listener === null ? null : (wake, lost) => listenWith(listener(), table, wake, lost)
  }

  async hold(owner: string, leaseMs: number): Promise<boolean> {
    const { rowCount } = await this.#ask(
      `UPDATE ${this.name}_relay SET owner = $1, until = clock_timestamp() + $2::float8 * interval '1 ms'
       WHERE owner = $1 OR until < clock_timestamp()`,
      [owner, leaseMs],
    )
    return rowCount === 1
  }

  async release(owner: string): Promise<void> {
    const text = `UPDATE ${this.name}_relay SET owner = NULL, until = '-infinity', wants_notices = false WHERE owner = $1`
    await this.#ask(text, [owner])
  }

  async pending(rowsMax: number, bytesMax: number): Promise<readonly OutboxRow[]> {
    const { rows } = await this.#ask(
      `SELECT seq::text AS sequence, topic, id, source, type, version, key,
         floor(extract(epoch FROM time) * 1000)::float8 AS "timeMs",
         attributes::text AS attributes, content_type AS "contentType", data
       FROM (
         SELECT *, sum(octet_length(data)) OVER (ORDER BY seq) AS bytes, row_number() OVER (ORDER BY seq) AS nth
         FROM (
           SELECT * FROM ${this.name} WHERE published_at IS NULL AND refused IS NULL ORDER BY seq LIMIT $1
         ) AS lowest
       ) AS measured
       WHERE bytes <= $2 OR nth = 1 ORDER BY seq`,
      [rowsMax, bytesMax],
    )
    return rows as OutboxRow[]
  }

  async settle(sequences: readonly string[], keep: boolean): Promise<void> {
    const text = keep
      ? `UPDATE ${this.name} SET published_at = clock_timestamp() WHERE seq = ANY ($1::bigint[])`
      : `DELETE FROM ${this.name} WHERE seq = ANY ($1::bigint[])`
    await this.#ask(text, [sequences])
  }

  async refuse(sequence: string, reason: string): Promise<void> {
    await this.#ask(`UPDATE ${this.name} SET refused = $2 WHERE seq = $1`, [sequence, reason])
  }

  async prune(retentionMs: number, rowsMax: number): Promise<number> {
    const { rowCount } = await this.#ask(
      `DELETE FROM ${this.name} WHERE seq IN (
         SELECT seq FROM ${this.name} WHERE published_at IS NOT NULL ORDER BY seq LIMIT $2
       ) AND published_at < clock_timestamp() - $1::float8 * interval '1 ms'`,
      [retentionMs, rowsMax],
    )
    return rowCount ?? 0
  }

  async lag(rowsMax: number): Promise<OutboxLag> {
    const { rows } = await this.#ask(
      `SELECT count(*)::float8 AS rows,
         coalesce(extract(epoch FROM clock_timestamp() - min(created_at)) * 1000, 0)::float8 AS "oldestMs",
         (SELECT count(*)::float8 FROM (SELECT FROM ${this.name} WHERE refused IS NOT NULL LIMIT $1) AS aside) AS refused
       FROM (
         SELECT created_at FROM ${this.name} WHERE published_at IS NULL AND refused IS NULL ORDER BY seq LIMIT $1
       ) AS lowest`,
      [rowsMax],
    )
    return rows[0] as OutboxLag
  }

  async askForNotices(wanted: boolean): Promise<void> {
    await this.#ask(`UPDATE ${this.name}_relay SET wants_notices = $1`, [wanted])
  }

  /** The connections are the caller's. */
  async close(): Promise<void> {}

  #ask(text: string, values: unknown[]) {
    return this.#connections.query({ text, values, query_timeout: STATEMENT_TIMEOUT_MS })
  }
}

/** Longest wait for an answer of the server. */
const STATEMENT_TIMEOUT_MS = 10_000

async function listenWith(client: PostgresListener, channel: string, wake: () => void, lost: () => void) {
  client.on('error', lost)
  client.on('end', lost)
  client.on('notification', wake)
  try {
    await client.connect()
    await client.query(`LISTEN "${channel}"`)
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
  return { close: () => client.end().catch(() => {}) }
}

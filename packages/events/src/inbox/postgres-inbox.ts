import { checkTransaction, type PostgresConnections, type PostgresTransaction } from '../postgres-client.ts'
import { type EventIdentity, type InboxOptions, resolveInbox, SWEEP_ROWS_MAX } from './inbox-options.ts'

/**
 * Effects once for each event, however often it comes: what is remembered is written in the transaction of the effect, so
 * both are there or neither.
 */
export interface PostgresInbox {
  /** SQL of the table; safe to run at any time. */
  migration(): string
  /** Runs it. */
  migrate(client: { query(text: string): Promise<unknown> }): Promise<void>
  /**
   * Runs `effect` unless this group has done it for this event (source and id); says whether it ran. `effect` works by the
   * same client. One that fails must be followed by ROLLBACK, as any failed transaction. If another transaction is at the
   * same event it waits for its end, and runs only if that was rolled back. Rejects with CONFIG_INVALID where the client is in
   * no transaction; at REPEATABLE READ and above also with 40001, where that transaction was committed: try again.
   */
  once(client: PostgresTransaction, event: EventIdentity, effect: () => unknown): Promise<boolean>
  /**
   * Forgets events that were done longer ago than this; says how many. Keep them for longer than an event can come again:
   * the retention of its topic, and of dead letters that may be handed in again.
   */
  sweep(connections: PostgresConnections, retentionMs: number): Promise<number>
}

/** Throws CONFIG_INVALID. */
export function postgresInbox(options: InboxOptions): PostgresInbox {
  const { group, table } = resolveInbox(options)
  const migration = migrationOf(table)
  return {
    migration: () => migration,
    async migrate(client) {
      await client.query(migration)
    },
    async once(client, { source, id }, effect) {
      checkTransaction(client, 'inbox.once')
      const { rowCount } = await client.query(
        `INSERT INTO ${table} (consumer_group, source, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
        [group, source, id],
      )
      if (rowCount !== 1) return false
      await effect()
      return true
    },
    async sweep(connections, retentionMs) {
      let total = 0
      for (let removed = SWEEP_ROWS_MAX; removed === SWEEP_ROWS_MAX; total += removed) {
        const { rowCount } = await connections.query({
          text: `DELETE FROM ${table} WHERE (consumer_group, source, id) IN (
            SELECT consumer_group, source, id FROM ${table}
            WHERE consumer_group = $1 AND done_at < clock_timestamp() - $2::float8 * interval '1 ms' LIMIT $3
          )`,
          values: [group, retentionMs, SWEEP_ROWS_MAX],
        })
        removed = rowCount ?? 0
      }
      return total
    },
  }
}

/** Forward only, as the outbox's. */
function migrationOf(table: string): string {
  const index = `${table.split('.').at(-1)}_done`
  return `SELECT pg_advisory_xact_lock(hashtext('${table}'));
CREATE TABLE IF NOT EXISTS ${table} (
  consumer_group text NOT NULL,
  source text NOT NULL,
  id text NOT NULL,
  done_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (consumer_group, source, id)
);
CREATE INDEX IF NOT EXISTS ${index} ON ${table} (consumer_group, done_at);
`
}

import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { OutboxLag, OutboxRow, OutboxRows } from './outbox-rows.ts'

/** A connection of the relay's own. It never waits for another's lock, which would stop this whole process: the relay tries again. */
export function openSqliteRows(path: string, table: string): OutboxRows {
  return new SqliteRows(new DatabaseSync(path, { timeout: 0 }), table)
}

/**
 * SQLite has one writer at a time, from its first write to its commit: numbers have the order of the commits, for all keys
 * at once. Times are the machine's clock, as the file is of one machine.
 */
class SqliteRows implements OutboxRows {
  readonly name: string
  readonly listen = null
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync, table: string) {
    this.name = table
    this.#database = database
  }

  async hold(owner: string, leaseMs: number): Promise<boolean> {
    return (
      this.#run(
        `UPDATE ${this.name}_relay SET owner = ?1, until = ${NOW} + ?2 WHERE owner = ?1 OR until < ${NOW}`,
        owner,
        leaseMs,
      ) === 1
    )
  }

  async release(owner: string): Promise<void> {
    this.#run(`UPDATE ${this.name}_relay SET owner = NULL, until = 0 WHERE owner = ?`, owner)
  }

  async pending(rowsMax: number, bytesMax: number): Promise<readonly OutboxRow[]> {
    const statement = this.#database.prepare(
      `SELECT CAST(seq AS TEXT) AS sequence, topic, id, source, type, version, key, time AS timeMs, attributes,
         content_type AS contentType, data
       FROM ${this.name} WHERE published_at IS NULL AND refused IS NULL ORDER BY seq LIMIT ?`,
    )
    const rows: OutboxRow[] = []
    let bytes = 0
    // Row by row, so that what is beyond the limit is not read.
    for (const one of statement.iterate(rowsMax)) {
      const row = one as unknown as OutboxRow
      bytes += row.data.length
      if (rows.length > 0 && bytes > bytesMax) break
      rows.push(row)
    }
    return rows
  }

  async settle(sequences: readonly string[], keep: boolean): Promise<void> {
    const these = 'seq IN (SELECT CAST(value AS INTEGER) FROM json_each(?))'
    this.#run(
      keep ? `UPDATE ${this.name} SET published_at = ${NOW} WHERE ${these}` : `DELETE FROM ${this.name} WHERE ${these}`,
      JSON.stringify(sequences),
    )
  }

  async refuse(sequence: string, reason: string): Promise<void> {
    this.#run(`UPDATE ${this.name} SET refused = ? WHERE seq = CAST(? AS INTEGER)`, reason, sequence)
  }

  async prune(retentionMs: number, rowsMax: number): Promise<number> {
    return this.#run(
      `DELETE FROM ${this.name} WHERE seq IN (
         SELECT seq FROM ${this.name} WHERE published_at IS NOT NULL ORDER BY seq LIMIT ?2
       ) AND published_at <= ${NOW} - ?1`,
      retentionMs,
      rowsMax,
    )
  }

  async lag(rowsMax: number): Promise<OutboxLag> {
    const pending = `FROM ${this.name} WHERE published_at IS NULL AND refused IS NULL ORDER BY seq LIMIT ?1`
    const found = this.#database
      .prepare(
        `SELECT count(*) AS rows, max(coalesce(${NOW} - min(created_at), 0), 0) AS oldestMs,
           (SELECT count(*) FROM (SELECT 1 FROM ${this.name} WHERE refused IS NOT NULL LIMIT ?1)) AS refused
         FROM (SELECT created_at ${pending})`,
      )
      .get(rowsMax)
    return { ...(found as unknown as OutboxLag) }
  }

  async askForNotices(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#database.prepare(sql).run(...values).changes)
  }
}

const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

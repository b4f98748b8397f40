import type { DatabaseSync } from 'node:sqlite'
import { ForebayError } from '@forebay/protocol'

/**
 * Makes the tables where they are missing. Throws DATA_CORRUPT for a file that another version made and that this one
 * does not know.
 */
export function makeTables(database: DatabaseSync, path: string): void {
  const version = database.prepare('PRAGMA user_version').get()?.user_version
  if (version === TABLES_VERSION) return
  if (version !== 0) {
    throw new ForebayError(
      'DATA_CORRUPT',
      `${path} was made by another version of Forebay (tables ${version}, this one knows ${TABLES_VERSION}): run that version, or move the file away and let the store be rebuilt from the log.`,
      { members: { file: path } },
    )
  }
  database.exec(`BEGIN; ${TABLES} PRAGMA user_version = ${TABLES_VERSION}; COMMIT`)
}

const TABLES_VERSION = 1

/**
 * - `tasks` has a row number beside its id: payloads are large, and an index is best kept free of them.
 * - `at_ms` is when the task ended, or its last note; it carries the order in which rows leave.
 * - `reservations.run` says which run of the process claimed, `claimed_at_ms` when by that run's own clock; `resumed`
 *   that an earlier append of the same task may have been kept.
 */
const TABLES = `
  CREATE TABLE tasks (
    task_id TEXT NOT NULL,
    ended INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    queue TEXT NOT NULL,
    owner TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    content_type TEXT,
    fault_code TEXT,
    fault_detail TEXT,
    payload BLOB
  ) STRICT;
  CREATE UNIQUE INDEX tasks_by_id ON tasks (task_id);
  CREATE INDEX tasks_by_age ON tasks (ended, at_ms);

  CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE reservations (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    task_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kept INTEGER NOT NULL,
    resumed INTEGER NOT NULL,
    run INTEGER NOT NULL,
    claimed_at_ms REAL NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (principal, route, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX reservations_by_age ON reservations (expires_at_ms);

  CREATE TABLE runs (run INTEGER NOT NULL) STRICT;
  INSERT INTO runs VALUES (0);
`

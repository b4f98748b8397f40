import type { DatabaseSync } from 'node:sqlite'
import { explainSqliteError, sqliteCodeOf } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol/errors'

/**
 * Brings the file to the tables of this version, from whatever version made it; forward only. Throws DATA_CORRUPT for
 * one that a later version made.
 */
export function makeTables(database: DatabaseSync, path: string): void {
  const version = database.prepare('PRAGMA user_version').get()?.user_version as number
  if (version < 0 || version > STEPS.length) {
    throw new ForebayError(
      'DATA_CORRUPT',
      `${path} was made by another version of Forebay (tables ${version}, this one knows ${STEPS.length}): run that version, or move the file away and let the store be rebuilt from the log.`,
      { members: { file: path } },
    )
  }
  if (version === STEPS.length) return
  try {
    database.exec(`BEGIN; ${STEPS.slice(version).join('')} PRAGMA user_version = ${STEPS.length}; COMMIT`)
  } catch (error) {
    if (sqliteCodeOf(error) !== SQLITE_ERROR) throw explainSqliteError(error, path)
    throw new ForebayError(
      'DATA_CORRUPT',
      `${path} does not hold the tables of version ${version} as it says (${error instanceof Error ? error.message : String(error)}): restore it from a backup, or move it away to let the store be rebuilt from the log.`,
      { members: { file: path }, cause: error },
    )
  }
}

/** A statement does not fit the tables. */
const SQLITE_ERROR = 1

/**
 * As version 1 made them.
 *
 * - `tasks` has a row number beside its id: payloads are large, and an index is best kept free of them.
 * - `at_ms` is when the task ended, or its last note; it carries the order in which rows leave.
 * - `reservations.run` says which run of the process claimed, `claimed_at_ms` when by that run's own clock; `resumed`
 *   that an earlier append of the same task may have been kept.
 */
const VERSION_1 = `
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

/**
 * - `tasks.ended` may be 2: the task is parked, as far as is known. `blob` is where the answer is.
 * - `parked` keeps the record of a row in a table of its own, so that marking a row does not write its bytes again; `id`
 *   grows with each parking, which is the order of the list.
 * - `parked.wake_at_ms` is when time hands the row out: the sooner of due time and deadline for a row that stands alone
 *   or heads its line, the deadline for one behind. Whoever changes the head of a line keeps it so.
 */
const VERSION_2 = `
  ALTER TABLE tasks ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tasks ADD COLUMN blob TEXT;

  CREATE TABLE parking_owners (
    queue TEXT NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (queue, partition)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE parked (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    partition INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    topic TEXT NOT NULL,
    task_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    line TEXT,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    fault_code TEXT,
    fault_detail TEXT,
    parked_at_ms INTEGER NOT NULL,
    due_at_ms INTEGER,
    deadline_at_ms INTEGER NOT NULL,
    wake_at_ms INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    wish TEXT,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX parked_by_place ON parked (queue, partition, log_offset);
  CREATE INDEX parked_by_waking ON parked (queue, partition, wake_at_ms) WHERE taken = 0;
  CREATE INDEX parked_taken ON parked (queue, partition) WHERE taken = 1;
  CREATE INDEX parked_by_line ON parked (queue, partition, line, log_offset) WHERE line IS NOT NULL;
  CREATE INDEX parked_by_task ON parked (task_id);
  CREATE INDEX parked_by_queue ON parked (queue);
  CREATE INDEX parked_by_key ON parked (line) WHERE line IS NOT NULL;
  CREATE INDEX parked_by_reason ON parked (reason);

  CREATE TABLE parked_records (
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL
  ) STRICT;

  CREATE TABLE schedules (
    queue TEXT NOT NULL,
    schedule TEXT NOT NULL,
    fired_at_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, schedule)
  ) STRICT, WITHOUT ROWID;
`

/**
 * - `output_streams` has a row for each task of which something is kept; `at_ms` is when it said the last of it, or when
 *   the task was found to have ended: by it rows leave. `progress_at` is the place of the last progress.
 * - `outputs.content_type` is null for a progress; its `body` is the message then.
 */
const VERSION_3 = `
  CREATE TABLE output_streams (
    id INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    run TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    progress_at INTEGER,
    at_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX output_streams_by_task ON output_streams (task_id);
  CREATE INDEX output_streams_by_age ON output_streams (at_ms);

  CREATE TABLE outputs (
    stream INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    at_ms REAL NOT NULL,
    content_type TEXT,
    fraction REAL,
    body BLOB NOT NULL,
    PRIMARY KEY (stream, log_offset)
  ) STRICT, WITHOUT ROWID;
`

/**
 * - `callbacks.generation` is the life whose end was told of last, or is to be told of; null while none is known to have ended.
 * - `callbacks.wake_at_ms` plays a part with 'due' only: not before, and the end of the lease where there is a `taker`.
 * - `callbacks.seq` is the order of the list.
 */
const VERSION_4 = `
  CREATE TABLE callbacks (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    queue TEXT NOT NULL,
    url TEXT NOT NULL,
    host TEXT NOT NULL,
    keep_until_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    generation INTEGER,
    task_state TEXT,
    tries INTEGER NOT NULL,
    due_since_ms INTEGER NOT NULL,
    wake_at_ms INTEGER NOT NULL,
    taker TEXT,
    changed_at_ms INTEGER NOT NULL,
    attempts TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX callbacks_by_task ON callbacks (task_id, url);
  CREATE INDEX callbacks_by_id ON callbacks (id);
  CREATE INDEX callbacks_by_receiver ON callbacks (owner, url);
  CREATE INDEX callbacks_due ON callbacks (host, wake_at_ms) WHERE state = 'due';
  CREATE INDEX callbacks_waking ON callbacks (wake_at_ms) WHERE state = 'due';
  CREATE INDEX callbacks_taken ON callbacks (host, wake_at_ms) WHERE taker IS NOT NULL;
  CREATE INDEX callbacks_kept ON callbacks (keep_until_ms) WHERE state IN ('waiting', 'due', 'disabled');
  CREATE INDEX callbacks_done ON callbacks (changed_at_ms) WHERE state IN ('delivered', 'given-up');

  CREATE TABLE disabled_receivers (
    owner TEXT NOT NULL,
    url TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (owner, url)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX disabled_receivers_by_age ON disabled_receivers (at_ms);
`

/** The step at place n makes version n + 1 of version n; a step that was released never changes. */
const STEPS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4]

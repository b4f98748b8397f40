/**
 * - `tasks.at_ms` is when the task ended, or its last note; it carries the order in which rows leave.
 * - Payloads are kept as they are: what can be compressed well mostly is, and trying costs more than the room.
 * - `reservations.resumed`: an earlier append of the same task may have been kept. `claimed_at_ms`: by the server's clock;
 *   0 where nobody is appending any more.
 */
export function tables(schema: string): string {
  return `
    CREATE TABLE ${schema}.positions (
      topic text COLLATE "C" NOT NULL,
      partition integer NOT NULL,
      next bigint NOT NULL,
      PRIMARY KEY (topic, partition)
    );

    CREATE TABLE ${schema}.tasks (
      task_id text COLLATE "C" PRIMARY KEY,
      at_ms bigint NOT NULL,
      attempts integer NOT NULL,
      generation integer NOT NULL,
      ended boolean NOT NULL,
      state text NOT NULL,
      queue text NOT NULL,
      owner text NOT NULL,
      content_type text,
      fault_code text,
      fault_detail text,
      blob_sha256 text,
      blob_bytes bigint,
      payload bytea
    );
    ALTER TABLE ${schema}.tasks ALTER COLUMN payload SET STORAGE EXTERNAL;
    CREATE INDEX tasks_by_age ON ${schema}.tasks (ended, at_ms);

    CREATE TABLE ${schema}.reservations (
      principal text COLLATE "C" NOT NULL,
      route text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      task_id text NOT NULL,
      fingerprint text NOT NULL,
      kept boolean NOT NULL,
      resumed boolean NOT NULL,
      claimed_by uuid,
      claimed_at_ms bigint NOT NULL,
      expires_at_ms bigint NOT NULL,
      PRIMARY KEY (principal, route, key)
    );
    CREATE INDEX reservations_by_age ON ${schema}.reservations (expires_at_ms);
    CREATE INDEX reservations_by_claimant ON ${schema}.reservations (claimed_by) WHERE NOT kept;
  `
}

/**
 * - `owners`: who may write the parked rows of a partition; its row is the lock under which that is done.
 * - `parked.wakes_at_ms`: when time hands the row out. That is its deadline, or sooner for a row that stands alone or at
 *   the head of its line; `parked_heads` finds the latter, of which a line has one.
 * - `parked.taken`: names the call that took the row; null: it waits.
 */
export function parkingTables(schema: string): string {
  return `
    CREATE TABLE ${schema}.owners (
      queue text COLLATE "C" NOT NULL,
      partition integer NOT NULL,
      epoch bigint NOT NULL,
      PRIMARY KEY (queue, partition)
    );

    CREATE TABLE ${schema}.parked (
      queue text COLLATE "C" NOT NULL,
      partition integer NOT NULL,
      log_offset bigint NOT NULL,
      parked_at_ms bigint NOT NULL,
      due_at_ms bigint,
      deadline_at_ms bigint NOT NULL,
      wakes_at_ms bigint NOT NULL,
      taken uuid,
      attempts integer NOT NULL,
      losses integer NOT NULL,
      timestamp_ms bigint NOT NULL,
      task_id text COLLATE "C" NOT NULL,
      owner text NOT NULL,
      line text COLLATE "C",
      reason text NOT NULL,
      wish text,
      fault_code text,
      fault_detail text,
      topic text NOT NULL,
      key bytea,
      headers text NOT NULL,
      value bytea,
      PRIMARY KEY (queue, partition, log_offset)
    ) WITH (fillfactor = 85);
    ALTER TABLE ${schema}.parked ALTER COLUMN value SET STORAGE EXTERNAL;
    CREATE INDEX parked_by_waking ON ${schema}.parked (queue, partition, wakes_at_ms) WHERE taken IS NULL;
    CREATE INDEX parked_by_line ON ${schema}.parked (queue, partition, line, log_offset) WHERE line IS NOT NULL;
    CREATE INDEX parked_heads ON ${schema}.parked (queue, partition, line)
      WHERE line IS NOT NULL AND wakes_at_ms < deadline_at_ms;
    CREATE INDEX parked_by_task ON ${schema}.parked (task_id, queue);
    CREATE INDEX parked_by_age ON ${schema}.parked (parked_at_ms DESC, queue, partition, log_offset);
    CREATE INDEX parked_taken ON ${schema}.parked (queue, partition) WHERE taken IS NOT NULL;

    CREATE TABLE ${schema}.fires (
      queue text COLLATE "C" NOT NULL,
      schedule text COLLATE "C" NOT NULL,
      at_ms bigint NOT NULL,
      PRIMARY KEY (queue, schedule)
    );
  `
}

/**
 * What other services may read: its name, columns and their meanings stay, whatever becomes of the tables. One row for each task
 * that has ended; nulls where an end has nothing to say.
 */
export function resultsView(schema: string): string {
  return `
    CREATE VIEW ${schema}.forebay_results AS
      SELECT task_id, queue, owner, state, attempts, generation, to_timestamp(at_ms / 1000.0) AS finished_at,
        content_type, payload, blob_sha256, blob_bytes, fault_code, fault_detail
      FROM ${schema}.tasks WHERE ended;
  `
}

/**
 * - `outputs`: the chunks of the run that counts, by their place on the task's lane.
 * - `output_heads`: where that run stands, and the last progress. `bytes`: of its chunks. `at_ms`: of the last output, and once the
 *   sweeper has looked, when the task ended; it carries the order in which rows leave.
 */
export function outputTables(schema: string): string {
  return `
    CREATE TABLE ${schema}.outputs (
      task_id text COLLATE "C" NOT NULL,
      log_offset bigint NOT NULL,
      chunks integer NOT NULL,
      at_ms bigint NOT NULL,
      content_type text NOT NULL,
      payload bytea NOT NULL,
      PRIMARY KEY (task_id, log_offset)
    );
    ALTER TABLE ${schema}.outputs ALTER COLUMN payload SET STORAGE EXTERNAL;

    CREATE TABLE ${schema}.output_heads (
      task_id text COLLATE "C" PRIMARY KEY,
      generation integer NOT NULL,
      attempts integer NOT NULL,
      run text NOT NULL,
      chunks integer NOT NULL,
      bytes bigint NOT NULL,
      began_at bigint NOT NULL,
      at_ms bigint NOT NULL,
      progress_offset bigint,
      progress_chunks integer,
      progress_at_ms bigint,
      progress_fraction double precision,
      progress_message text
    ) WITH (fillfactor = 80);
    CREATE INDEX output_heads_by_age ON ${schema}.output_heads (at_ms);
  `
}

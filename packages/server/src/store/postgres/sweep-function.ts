/**
 * Removes what has had its time, a bounded slice at each call, and says how many rows went; -1 where another process is
 * at it. What is known of a task that is parked stays.
 */
export function sweepFunction(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.sweep(given_now bigint, retention_ms bigint, notes_retention_ms bigint)
    RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      removed integer := 0;
      removed_now integer;
    BEGIN
      IF NOT pg_try_advisory_xact_lock(${SWEEP_LOCK_CLASS}, hashtext('${schema}')) THEN RETURN -1; END IF;
      DELETE FROM ${schema}.reservations WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${schema}.reservations WHERE expires_at_ms <= now_ms LIMIT ${SLICE_ROWS_MAX}));
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      removed := removed + removed_now;
      DELETE FROM ${schema}.tasks WHERE ended AND at_ms < now_ms - retention_ms AND ctid = ANY (ARRAY(
        SELECT slice.id FROM (
          SELECT oldest.id, sum(oldest.bytes) OVER (ORDER BY oldest.at_ms, oldest.id) - oldest.bytes AS bytes_before FROM (
            SELECT ctid AS id, at_ms, coalesce(octet_length(payload), 0) AS bytes FROM ${schema}.tasks
            WHERE ended AND at_ms < now_ms - retention_ms ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX}) AS oldest) AS slice
        WHERE slice.bytes_before < ${SLICE_BYTES_MAX}));
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      removed := removed + removed_now;
      DELETE FROM ${schema}.tasks WHERE NOT ended AND at_ms < now_ms - notes_retention_ms AND ctid = ANY (ARRAY(
        SELECT ctid FROM ${schema}.tasks AS noted WHERE NOT ended AND at_ms < now_ms - notes_retention_ms
          AND NOT EXISTS (SELECT FROM ${schema}.parked WHERE parked.task_id = noted.task_id)
        ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX}));
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      RETURN removed + removed_now;
    END $$;
  `
}

/**
 * The same, and what tasks have said. What belongs to a task whose end is kept stays as long as that: its head is made as young as the
 * end, and looked at again when that has had its time.
 */
export function sweepOutputsFunction(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.sweep_outputs(now_ms bigint, retention_ms bigint) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      removed integer;
    BEGIN
      WITH old AS (
        SELECT task_id, at_ms, bytes, chunks FROM ${schema}.output_heads WHERE at_ms < now_ms - retention_ms
        ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX} FOR UPDATE SKIP LOCKED
      ), judged AS (
        SELECT old.*, (SELECT task.at_ms FROM ${schema}.tasks AS task WHERE task.task_id = old.task_id AND task.ended
          AND task.at_ms >= now_ms - retention_ms LIMIT 1) AS ended_at_ms FROM old
      ), younger AS (
        UPDATE ${schema}.output_heads AS head SET at_ms = judged.ended_at_ms FROM judged
        WHERE head.task_id = judged.task_id AND judged.ended_at_ms IS NOT NULL RETURNING head.task_id
      ), slice AS (
        SELECT task_id FROM (
          SELECT task_id, sum(bytes) OVER sofar - bytes AS bytes_before, sum(chunks) OVER sofar - chunks AS rows_before
          FROM judged WHERE ended_at_ms IS NULL WINDOW sofar AS (ORDER BY at_ms, task_id)) AS counted
        WHERE bytes_before < ${SLICE_BYTES_MAX} AND rows_before < ${SLICE_CHUNKS_MAX}
      ), gone AS (
        DELETE FROM ${schema}.output_heads AS head USING slice WHERE head.task_id = slice.task_id RETURNING head.task_id
      ), chunks_gone AS (
        DELETE FROM ${schema}.outputs WHERE ctid = ANY (ARRAY(
          SELECT found.id FROM slice CROSS JOIN LATERAL (
            SELECT ctid AS id FROM ${schema}.outputs WHERE task_id = slice.task_id OFFSET 0) AS found))
      ) SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM younger) INTO removed;
      RETURN removed;
    END $$;

    ALTER FUNCTION ${schema}.sweep(bigint, bigint, bigint) RENAME TO sweep_tasks;
    CREATE FUNCTION ${schema}.sweep(given_now bigint, retention_ms bigint, notes_retention_ms bigint)
    RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      removed integer := ${schema}.sweep_tasks(given_now, retention_ms, notes_retention_ms);
    BEGIN
      IF removed < 0 THEN RETURN removed; END IF;
      RETURN removed + ${schema}.sweep_outputs(${schema}.now_ms(given_now), retention_ms);
    END $$;
  `
}

/** Of advisory locks: 'fbsw' as a number. */
const SWEEP_LOCK_CLASS = 0x66627377
/** How long a slice, and so whoever waits for its rows, takes. */
const SLICE_ROWS_MAX = 2_000
const SLICE_BYTES_MAX = 16 * 1024 * 1024
/** At most those of one task more. */
const SLICE_CHUNKS_MAX = 10_000

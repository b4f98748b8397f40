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

/** Of advisory locks: 'fbsw' as a number. */
const SWEEP_LOCK_CLASS = 0x66627377
/** How long a slice, and so whoever waits for its rows, takes. */
const SLICE_ROWS_MAX = 2_000
const SLICE_BYTES_MAX = 16 * 1024 * 1024

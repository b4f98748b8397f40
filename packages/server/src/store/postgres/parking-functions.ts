import { LOCK_TIMEOUT_MS } from './apply-function.ts'

/**
 * What is done to parked rows. Each begins by locking the row of the partition's owner, so what is done to one partition
 * is done one after the other and sees what was done before; what an owner does is refused under an epoch that is over.
 */
export function parkingFunctions(schema: string): string {
  const ofPartition = 'queue = given_queue AND partition = given_partition'
  /** One look into the index for each offset: a plan of another kind, as a table without statistics gets it, is slow. */
  const at = (offsets: string) => `ctid = ANY (ARRAY(
          SELECT found.id FROM unnest(${offsets}) AS one CROSS JOIN LATERAL (
            SELECT ctid AS id FROM ${schema}.parked WHERE ${ofPartition} AND log_offset = one LIMIT 1) AS found))`
  return `
    CREATE FUNCTION ${schema}.lock_owned(given_queue text, given_partition integer, given_epoch bigint)
    RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM FROM ${schema}.owners WHERE ${ofPartition} AND epoch = given_epoch FOR UPDATE;
      RETURN FOUND;
    END $$;

    CREATE FUNCTION ${schema}.require_owned(given_queue text, given_partition integer, given_epoch bigint)
    RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      IF NOT ${schema}.lock_owned(given_queue, given_partition, given_epoch) THEN
        RAISE EXCEPTION 'epoch % of %/% is over', given_epoch, given_queue, given_partition
          USING ERRCODE = '${FENCED}';
      END IF;
    END $$;

    -- Null where the line is empty.
    CREATE FUNCTION ${schema}.head_of(given_queue text, given_partition integer, given_line text)
    RETURNS bigint LANGUAGE sql STABLE AS $$
      SELECT log_offset FROM ${schema}.parked WHERE ${ofPartition} AND line = given_line ORDER BY log_offset LIMIT 1
    $$;

    -- Rows of these lines have come or gone: what heads a line wakes by its own time, what headed it no more.
    CREATE FUNCTION ${schema}.settle_lines(given_queue text, given_partition integer, given_lines text[])
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      one_line text;
      head bigint;
    BEGIN
      FOR one_line IN SELECT DISTINCT given.line FROM unnest(given_lines) AS given (line) WHERE given.line IS NOT NULL
      LOOP
        head := ${schema}.head_of(given_queue, given_partition, one_line);
        UPDATE ${schema}.parked SET wakes_at_ms = deadline_at_ms
          WHERE ${ofPartition} AND line = one_line AND wakes_at_ms < deadline_at_ms AND log_offset <> head;
        UPDATE ${schema}.parked SET wakes_at_ms = least(due_at_ms, deadline_at_ms)
          WHERE ${ofPartition} AND log_offset = head AND wakes_at_ms <> least(due_at_ms, deadline_at_ms);
      END LOOP;
    END $$;

    -- From one line to the next along the index, however long each of them is.
    CREATE FUNCTION ${schema}.lines_of(given_queue text, given_partition integer)
    RETURNS TABLE (line text, head bigint) LANGUAGE sql STABLE AS $$
      WITH RECURSIVE one AS (
        (SELECT line, log_offset FROM ${schema}.parked WHERE ${ofPartition} AND line IS NOT NULL
          ORDER BY line, log_offset LIMIT 1)
        UNION ALL
        SELECT next.line, next.log_offset FROM one, LATERAL (
          SELECT line, log_offset FROM ${schema}.parked WHERE ${ofPartition} AND line > one.line
          ORDER BY line, log_offset LIMIT 1) AS next
      ) SELECT line, log_offset FROM one
    $$;

    -- What these calls took (null: any) waits again; heads and single rows at once.
    CREATE FUNCTION ${schema}.give_back(given_queue text, given_partition integer, calls uuid[], now_ms bigint)
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      lines text[];
    BEGIN
      WITH given AS (
        UPDATE ${schema}.parked SET taken = NULL,
          due_at_ms = CASE WHEN line IS NULL OR log_offset = ${schema}.head_of(queue, partition, line)
            THEN now_ms ELSE due_at_ms END,
          wakes_at_ms = CASE WHEN line IS NULL THEN least(now_ms, deadline_at_ms) ELSE wakes_at_ms END
        WHERE ${ofPartition} AND taken IS NOT NULL AND (calls IS NULL OR taken = ANY (calls))
        RETURNING line
      ) SELECT array_agg(line) INTO lines FROM given;
      PERFORM ${schema}.settle_lines(given_queue, given_partition, lines);
    END $$;

    -- Nobody runs these lines any more: their heads must not wait for that.
    CREATE FUNCTION ${schema}.wake_heads(given_queue text, given_partition integer, heads bigint[], now_ms bigint)
    RETURNS void LANGUAGE sql AS $$
      UPDATE ${schema}.parked SET
        due_at_ms = CASE WHEN reason = 'exhausted' THEN due_at_ms ELSE coalesce(due_at_ms, now_ms) END,
        wakes_at_ms = least(CASE WHEN reason = 'exhausted' THEN due_at_ms ELSE coalesce(due_at_ms, now_ms) END,
          deadline_at_ms)
      WHERE ${at('heads')} AND taken IS NULL
    $$;

    CREATE FUNCTION ${schema}.own(given_queue text, given_partition integer, given_now bigint,
      OUT epoch bigint, OUT lines text[]) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      heads bigint[];
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      INSERT INTO ${schema}.owners AS before VALUES (given_queue, given_partition, 1)
        ON CONFLICT (queue, partition) DO UPDATE SET epoch = before.epoch + 1 RETURNING before.epoch INTO epoch;
      PERFORM ${schema}.give_back(given_queue, given_partition, NULL, now_ms);
      SELECT array_agg(line), array_agg(head) INTO lines, heads FROM ${schema}.lines_of(given_queue, given_partition);
      PERFORM ${schema}.wake_heads(given_queue, given_partition, heads, now_ms);
    END $$;

    CREATE FUNCTION ${schema}.park(
      given_queue text, given_partition integer, given_epoch bigint, given_now bigint,
      offsets bigint[], timestamps bigint[], due_in bigint[], deadline_in bigint[], attempts integer[],
      losses integer[], task_ids text[], task_owners text[], lines text[], reasons text[], fault_codes text[],
      fault_details text[], topics text[], headers text[], key_lengths integer[], value_starts integer[],
      value_lengths integer[], bytes bytea
    ) RETURNS void LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      left_lines text[];
    BEGIN
      PERFORM ${schema}.require_owned(given_queue, given_partition, given_epoch);
      -- A row that changes its line leaves one that may have to be headed by another.
      SELECT array_agg(line) INTO left_lines FROM ${schema}.parked WHERE ${at('offsets')};
      ${putRows(schema, "reason <> 'behind'", REPLACE)}
      ${putRows(schema, "reason = 'behind'", 'taken = NULL')}
      PERFORM ${schema}.settle_lines(given_queue, given_partition, left_lines || lines);
    END $$;

    CREATE FUNCTION ${schema}.take(
      given_queue text, partitions integer[], epochs bigint[], given_limit integer, given_call uuid, lost_calls uuid[],
      given_now bigint
    ) RETURNS SETOF ${schema}.parked LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      owned integer[];
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      SELECT array_agg(partition) INTO owned FROM (
        SELECT owners.partition FROM ${schema}.owners
          JOIN unnest(partitions, epochs) AS given (partition, epoch) USING (partition, epoch)
          WHERE owners.queue = given_queue ORDER BY owners.partition FOR UPDATE OF owners) AS locked;
      IF cardinality(lost_calls) > 0 THEN
        PERFORM ${schema}.give_back(given_queue, one, lost_calls, now_ms) FROM unnest(owned) AS one;
      END IF;
      RETURN QUERY
        UPDATE ${schema}.parked SET taken = given_call
        WHERE taken IS NULL AND ctid = ANY (ARRAY(
          SELECT due.id FROM unnest(owned) AS one CROSS JOIN LATERAL (
            SELECT ctid AS id, wakes_at_ms FROM ${schema}.parked
            WHERE queue = given_queue AND partition = one AND taken IS NULL AND wakes_at_ms <= now_ms
            ORDER BY wakes_at_ms LIMIT given_limit) AS due
          ORDER BY due.wakes_at_ms LIMIT given_limit))
        RETURNING *;
    END $$;

    CREATE FUNCTION ${schema}.take_line(
      given_queue text, given_partition integer, given_epoch bigint, given_line text, given_limit integer,
      given_call uuid, lost_calls uuid[], given_now bigint
    ) RETURNS SETOF ${schema}.parked LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    BEGIN
      PERFORM ${schema}.require_owned(given_queue, given_partition, given_epoch);
      IF cardinality(lost_calls) > 0 THEN
        PERFORM ${schema}.give_back(given_queue, given_partition, lost_calls, ${schema}.now_ms(given_now));
      END IF;
      RETURN QUERY
        UPDATE ${schema}.parked SET taken = given_call
        WHERE taken IS NULL AND ctid = ANY (ARRAY(
          SELECT ctid FROM ${schema}.parked WHERE ${ofPartition} AND line = given_line AND taken IS NULL
          ORDER BY log_offset LIMIT given_limit))
        RETURNING *;
    END $$;

    CREATE FUNCTION ${schema}.remove_parked(
      given_queue text, given_partition integer, given_epoch bigint, offsets bigint[]
    ) RETURNS void LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      lines text[];
    BEGIN
      PERFORM ${schema}.require_owned(given_queue, given_partition, given_epoch);
      WITH gone AS (
        DELETE FROM ${schema}.parked WHERE ${at('offsets')} RETURNING line
      ) SELECT array_agg(line) INTO lines FROM gone WHERE line IS NOT NULL;
      PERFORM ${schema}.settle_lines(given_queue, given_partition, lines);
    END $$;

    CREATE FUNCTION ${schema}.drop_parked(
      given_queue text, given_partition integer, given_epoch bigint, given_task_ids text[], given_now bigint
    ) RETURNS text[] LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      dropped text[];
      lines text[];
      offsets bigint[];
    BEGIN
      IF NOT ${schema}.lock_owned(given_queue, given_partition, given_epoch) THEN RETURN '{}'; END IF;
      WITH gone AS (
        DELETE FROM ${schema}.parked WHERE ${ofPartition} AND taken IS NULL AND ctid = ANY (ARRAY(
          SELECT found.id FROM unnest(given_task_ids) AS one CROSS JOIN LATERAL (
            SELECT ctid AS id FROM ${schema}.parked WHERE queue = given_queue AND task_id = one OFFSET 0) AS found))
        RETURNING task_id, line, log_offset
      ) SELECT array_agg(task_id), array_agg(line), array_agg(log_offset) INTO dropped, lines, offsets FROM gone;
      PERFORM ${schema}.settle_lines(given_queue, given_partition, lines);
      -- Where the head is behind what went, the former head went.
      PERFORM ${schema}.wake_heads(given_queue, given_partition, array_agg(head), ${schema}.now_ms(given_now)) FROM (
        SELECT ${schema}.head_of(given_queue, given_partition, gone.line) AS head, min(gone.log_offset) AS first
        FROM unnest(lines, offsets) AS gone (line, log_offset) WHERE gone.line IS NOT NULL GROUP BY gone.line) AS line
      WHERE head > first;
      RETURN coalesce(dropped, '{}');
    END $$;

    CREATE FUNCTION ${schema}.wish(given_queue text, given_task_id text, given_wish text, given_now bigint)
    RETURNS text LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      one record;
      outcome text := 'missing';
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM FROM ${schema}.owners WHERE queue = given_queue AND partition IN (
        SELECT partition FROM ${schema}.parked WHERE queue = given_queue AND task_id = given_task_id)
        ORDER BY partition FOR UPDATE;
      FOR one IN SELECT partition, line, taken FROM ${schema}.parked
        WHERE queue = given_queue AND task_id = given_task_id ORDER BY taken NULLS LAST
      LOOP
        IF one.taken IS NOT NULL THEN RETURN 'taken'; END IF;
        UPDATE ${schema}.parked SET wish = given_wish, due_at_ms = ${schema}.now_ms(given_now),
          wakes_at_ms = CASE WHEN line IS NULL THEN least(${schema}.now_ms(given_now), deadline_at_ms)
            ELSE wakes_at_ms END
          WHERE queue = given_queue AND task_id = given_task_id AND partition = one.partition;
        PERFORM ${schema}.settle_lines(given_queue, one.partition, ARRAY[one.line]);
        outcome := 'kept';
      END LOOP;
      RETURN outcome;
    END $$;

    -- False where the row was taken or changed meanwhile.
    CREATE FUNCTION ${schema}.edit_parked(
      given_queue text, given_partition integer, given_offset bigint, headers_before text, given_headers text,
      given_value bytea
    ) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM FROM ${schema}.owners WHERE ${ofPartition} FOR UPDATE;
      UPDATE ${schema}.parked SET value = given_value, headers = given_headers
        WHERE ${ofPartition} AND log_offset = given_offset AND taken IS NULL AND headers = headers_before;
      RETURN FOUND;
    END $$;

    CREATE FUNCTION ${schema}.fired(
      given_queue text, given_partition integer, given_epoch bigint, given_schedule text, given_at_ms bigint
    ) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM ${schema}.require_owned(given_queue, given_partition, given_epoch);
      INSERT INTO ${schema}.fires VALUES (given_queue, given_schedule, given_at_ms)
        ON CONFLICT (queue, schedule) DO UPDATE SET at_ms = excluded.at_ms;
    END $$;
  `
}

/** SQLSTATE of what is refused because the epoch is over. */
export const FENCED = 'FB001'

/** Everything of a row but its name; it waits again, and nothing is wished of it any more. */
const REPLACE = `parked_at_ms = excluded.parked_at_ms, due_at_ms = excluded.due_at_ms,
  deadline_at_ms = excluded.deadline_at_ms, wakes_at_ms = excluded.wakes_at_ms, taken = NULL, attempts = excluded.attempts, losses = excluded.losses,
  timestamp_ms = excluded.timestamp_ms, task_id = excluded.task_id, owner = excluded.owner, line = excluded.line,
  reason = excluded.reason, wish = NULL, fault_code = excluded.fault_code, fault_detail = excluded.fault_detail,
  topic = excluded.topic, key = excluded.key, headers = excluded.headers, value = excluded.value`

/** Keys and values stand one after the other in `bytes`; a length of null is a null. */
function putRows(schema: string, which: string, onConflict: string): string {
  return `
      INSERT INTO ${schema}.parked (queue, partition, log_offset, parked_at_ms, due_at_ms, deadline_at_ms, wakes_at_ms,
        attempts, losses, timestamp_ms, task_id, owner, line, reason, fault_code, fault_detail, topic, key, headers, value)
      SELECT given_queue, given_partition, one.log_offset, now_ms, now_ms + one.due_in,
        now_ms + one.deadline_in,
        now_ms + CASE WHEN one.line IS NULL THEN least(one.due_in, one.deadline_in) ELSE one.deadline_in END, one.attempts, one.losses, one.timestamp_ms, one.task_id,
        one.owner, one.line, one.reason, one.fault_code, one.fault_detail, one.topic,
        substring(bytes FROM one.value_start - one.key_length FOR one.key_length), one.headers,
        substring(bytes FROM one.value_start FOR one.value_length)
      FROM unnest(offsets, timestamps, due_in, deadline_in, attempts, losses, task_ids, task_owners, lines, reasons,
        fault_codes, fault_details, topics, headers, key_lengths, value_starts, value_lengths)
        AS one (log_offset, timestamp_ms, due_in, deadline_in, attempts, losses, task_id, owner, line, reason,
          fault_code, fault_detail, topic, headers, key_length, value_start, value_length)
      WHERE one.${which}
      ON CONFLICT (queue, partition, log_offset) DO UPDATE SET ${onConflict};`
}

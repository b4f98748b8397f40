export function applyFunction(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.now_ms(given_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
      $$ SELECT coalesce(given_now, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

    ${applyBatch(schema, 'CREATE FUNCTION', '')}
    CREATE FUNCTION ${schema}.rebuild(given_topic text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      -- Whoever applies holds one of these rows, and finds it gone afterwards.
      DELETE FROM ${schema}.positions WHERE topic = given_topic;
      TRUNCATE ${schema}.tasks;
    END $$;
  `
}

/** The same, and who waits for the end of a task is told in the same breath. A look at an empty table is all it costs the others. */
export function applyAndCallFunction(schema: string): string {
  return applyBatch(
    schema,
    'CREATE OR REPLACE FUNCTION',
    `      IF results_kept > 0 AND EXISTS (SELECT FROM ${schema}.callbacks) THEN
        PERFORM ${schema}.callbacks_fall_due(task_ids, now_ms);
      END IF;
`,
  )
}

/**
 * Takes what one partition had next, if the store stands where the caller thinks (`given_expected`; null: nowhere yet).
 * One statement from a client's view: no lock waits for anybody's network. Whoever else offers the same batch waits for
 * the position's row, and then finds it moved.
 *
 * A statement can touch a row only once, so a task's entries that count one after the other are in different rounds.
 * Rows come in the order of their ids: two batches that share tasks wait for each other and never crosswise.
 */
function applyBatch(schema: string, create: string, afterwards: string): string {
  return `${create} ${schema}.apply_batch(
      given_topic text, given_partition integer, given_expected bigint, given_next bigint, given_now bigint,
      given_rounds integer, rounds integer[], task_ids text[], moments bigint[], attempts integer[],
      generations integer[], endings boolean[], states text[], queues text[], owners text[], content_types text[],
      fault_codes text[], fault_details text[], blob_names text[], blob_sizes bigint[],
      payload_starts integer[], payload_lengths integer[], payloads bytea,
      OUT applied boolean, OUT "position" bigint, OUT results_kept integer
    ) LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      kept integer;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      applied := false;
      results_kept := 0;
      IF given_expected IS NULL THEN
        INSERT INTO ${schema}.positions VALUES (given_topic, given_partition, given_next) ON CONFLICT DO NOTHING;
        applied := FOUND;
      END IF;
      IF NOT applied THEN
        SELECT next INTO "position" FROM ${schema}.positions
          WHERE topic = given_topic AND partition = given_partition FOR UPDATE;
        IF given_expected IS NULL OR "position" IS DISTINCT FROM given_expected THEN RETURN; END IF;
        UPDATE ${schema}.positions SET next = given_next WHERE topic = given_topic AND partition = given_partition;
        applied := true;
      END IF;
      "position" := given_next;
      FOR this_round IN 1..given_rounds LOOP
        WITH written AS (
          INSERT INTO ${schema}.tasks AS known (task_id, at_ms, attempts, generation, ended, state, queue, owner,
            content_type, fault_code, fault_detail, blob_sha256, blob_bytes, payload)
          SELECT one.task_id, least(one.at_ms, now_ms), one.attempts, one.generation, one.ended, one.state, one.queue,
            one.owner, one.content_type, one.fault_code, one.fault_detail, one.blob_sha256, one.blob_bytes,
            substring(payloads FROM one.start FOR one.length)
          FROM unnest(rounds, task_ids, moments, attempts, generations, endings, states, queues, owners, content_types,
            fault_codes, fault_details, blob_names, blob_sizes, payload_starts, payload_lengths)
            AS one (round, task_id, at_ms, attempts, generation, ended, state, queue, owner, content_type,
              fault_code, fault_detail, blob_sha256, blob_bytes, start, length)
          WHERE one.round = this_round
          ORDER BY one.task_id
          ON CONFLICT (task_id) DO UPDATE SET at_ms = excluded.at_ms, attempts = excluded.attempts,
            generation = excluded.generation, ended = excluded.ended, state = excluded.state, queue = excluded.queue,
            owner = excluded.owner, content_type = excluded.content_type, fault_code = excluded.fault_code,
            fault_detail = excluded.fault_detail, blob_sha256 = excluded.blob_sha256, blob_bytes = excluded.blob_bytes,
            payload = excluded.payload
          WHERE excluded.generation > known.generation
            OR (excluded.generation = known.generation AND NOT known.ended)
          RETURNING ended
        ) SELECT count(*) FILTER (WHERE ended) INTO kept FROM written;
        results_kept := results_kept + kept;
      END LOOP;
${afterwards}    END $$;
`
}

/** Shorter than a client waits: what it has given up on must not be carried out much later. */
export const LOCK_TIMEOUT_MS = 4_000

import { LOCK_TIMEOUT_MS } from './apply-function.ts'

/**
 * `apply_with_outputs` is `apply_batch` with what tasks say besides: the caller has decided what counts, for the position that it
 * expects. Heads are locked before their chunks, as the sweeper does it.
 */
export function outputFunctions(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.apply_with_outputs(
      given_topic text, given_partition integer, given_expected bigint, given_next bigint, given_now bigint,
      given_rounds integer, rounds integer[], task_ids text[], moments bigint[], attempts integer[],
      generations integer[], endings boolean[], states text[], queues text[], owners text[], content_types text[],
      fault_codes text[], fault_details text[], blob_names text[], blob_sizes bigint[],
      payload_starts integer[], payload_lengths integer[], payloads bytea,
      restarts text[], talking text[], said_generations integer[], said_attempts integer[], runs text[],
      run_chunks integer[], chunk_bytes bigint[], firsts bigint[], said_at bigint[], progress_offsets bigint[],
      progress_chunks integer[], progress_moments bigint[], fractions double precision[], messages text[],
      chunk_tasks integer[], chunk_offsets bigint[], chunk_numbers integer[], chunk_moments bigint[],
      chunk_types text[], chunk_starts integer[], chunk_lengths integer[], chunk_payloads bytea,
      OUT applied boolean, OUT "position" bigint, OUT results_kept integer
    ) LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      restarting text;
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
      END IF;
      FOR restarting IN SELECT unnest(restarts) LOOP
        DELETE FROM ${schema}.output_heads WHERE task_id = restarting;
        DELETE FROM ${schema}.outputs WHERE task_id = restarting;
      END LOOP;
      INSERT INTO ${schema}.output_heads AS head (task_id, generation, attempts, run, chunks, bytes, began_at, at_ms,
        ${PROGRESS_COLUMNS.join(', ')})
      SELECT one.task_id, one.generation, one.attempts, one.run, one.chunks, one.bytes, one.first, least(one.at_ms, now_ms),
        ${PROGRESS_COLUMNS.map((column) => `one.${column}`).join(', ')}
      FROM unnest(talking, said_generations, said_attempts, runs, run_chunks, chunk_bytes, firsts, said_at,
        progress_offsets, progress_chunks, progress_moments, fractions, messages)
        AS one (task_id, generation, attempts, run, chunks, bytes, first, at_ms, ${PROGRESS_COLUMNS.join(', ')})
      ORDER BY one.task_id
      ON CONFLICT (task_id) DO UPDATE SET chunks = excluded.chunks, bytes = head.bytes + excluded.bytes,
        at_ms = greatest(head.at_ms, excluded.at_ms), ${PROGRESS_COLUMNS.map(newer).join(', ')};
      INSERT INTO ${schema}.outputs (task_id, log_offset, chunks, at_ms, content_type, payload)
      SELECT talking[one.task], one.log_offset, one.number, one.at_ms, one.content_type,
        substring(chunk_payloads FROM one.start FOR one.length)
      FROM unnest(chunk_tasks, chunk_offsets, chunk_numbers, chunk_moments, chunk_types, chunk_starts, chunk_lengths)
        AS one (task, log_offset, number, at_ms, content_type, start, length)
      ON CONFLICT DO NOTHING;
      -- Under the lock the position is what this call says it is.
      SELECT done.applied, done."position", done.results_kept INTO applied, "position", results_kept
      FROM ${schema}.apply_batch(given_topic, given_partition, coalesce(given_expected, given_next), given_next, given_now,
        given_rounds, rounds, task_ids, moments, attempts, generations, endings, states, queues, owners, content_types,
        fault_codes, fault_details, blob_names, blob_sizes, payload_starts, payload_lengths, payloads) AS done;
    END $$;

    CREATE OR REPLACE FUNCTION ${schema}.rebuild(given_topic text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      -- Whoever applies holds one of these rows, and finds it gone afterwards.
      DELETE FROM ${schema}.positions WHERE topic = given_topic;
      TRUNCATE ${schema}.tasks, ${schema}.outputs, ${schema}.output_heads;
    END $$;
  `
}

const PROGRESS_COLUMNS = [
  'progress_offset',
  'progress_chunks',
  'progress_at_ms',
  'progress_fraction',
  'progress_message',
] as const

function newer(column: string): string {
  return `${column} = CASE WHEN excluded.progress_offset IS NULL THEN head.${column} ELSE excluded.${column} END`
}

import { CALLBACK_ATTEMPTS_KEPT, CALLBACK_DISABLED_KEPT_MS, CALLBACKS_PER_TASK_MAX } from '../callbacks.ts'
import { LOCK_TIMEOUT_MS } from './apply-function.ts'

/**
 * Registering and the end of the task meet at the task's row: whoever comes second waits for the first, and sees what it
 * has done. So no callback is registered just beside the result that should have made it due. A task that nothing is known of yet
 * gets a row to meet at for as long as that takes; nobody ever sees it.
 *
 * Handing out goes one after the other, so that what others have just taken of a host counts. Rows are locked in the order of
 * their ids wherever several are.
 */
export function callbackFunctions(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.register_callback(
      given_now bigint, given_id text, given_task_id text, given_owner text, given_queue text, given_url text,
      given_host text, given_keep_until bigint
    ) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      task record;
      stands_in boolean := false;
      others integer;
      outcome text := 'registered';
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      IF ${isDisabled(schema, 'given_owner', 'given_url')} THEN RETURN 'disabled'; END IF;
      LOOP
        SELECT ended, generation, state INTO task FROM ${schema}.tasks WHERE task_id = given_task_id FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO ${schema}.tasks (task_id, at_ms, attempts, generation, ended, state, queue, owner)
          VALUES (given_task_id, now_ms, 0, 0, false, 'pending', given_queue, given_owner) ON CONFLICT DO NOTHING;
        stands_in := FOUND;
      END LOOP;
      SELECT count(*) INTO others FROM ${schema}.callbacks WHERE task_id = given_task_id;
      UPDATE ${schema}.callbacks SET keep_until_ms = greatest(keep_until_ms, given_keep_until)
        WHERE task_id = given_task_id AND url = given_url;
      IF FOUND THEN
        outcome := 'known';
      ELSIF others >= ${CALLBACKS_PER_TASK_MAX} THEN
        outcome := 'full';
      ELSE
        INSERT INTO ${schema}.callbacks (id, task_id, owner, queue, url, host, keep_until_ms, state, changed_at_ms)
          VALUES (given_id, given_task_id, given_owner, given_queue, given_url, given_host, given_keep_until, 'waiting', now_ms);
        IF task.ended THEN PERFORM ${schema}.callbacks_fall_due(ARRAY[given_task_id], now_ms); END IF;
      END IF;
      IF stands_in THEN DELETE FROM ${schema}.tasks WHERE task_id = given_task_id; END IF;
      RETURN outcome;
    END $$;

    -- Once for each generation that ends.
    CREATE FUNCTION ${schema}.callbacks_fall_due(given_task_ids text[], now_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      concerned text[];
    BEGIN
      SELECT array_agg(found.id) INTO concerned FROM unnest(given_task_ids) AS one CROSS JOIN LATERAL (
        SELECT id FROM ${schema}.callbacks WHERE task_id = one OFFSET 0) AS found;
      IF concerned IS NULL THEN RETURN; END IF;
      PERFORM FROM ${schema}.callbacks WHERE id = ANY (concerned) ORDER BY id FOR UPDATE;
      UPDATE ${schema}.callbacks AS callback SET generation = task.generation, task_state = task.state,
        changed_at_ms = now_ms, ${DUE_NOW}
      FROM ${schema}.tasks AS task
      WHERE callback.id = ANY (concerned) AND task.task_id = callback.task_id AND task.ended
        AND (callback.generation IS NULL OR callback.generation < task.generation);
      UPDATE ${schema}.callbacks AS callback SET ${DISABLED}
        WHERE callback.id = ANY (concerned) AND callback.state = 'due' AND callback.taker IS NULL
          AND ${isDisabled(schema, 'callback.owner', 'callback.url')};
    END $$;

    CREATE FUNCTION ${schema}.take_callbacks(
      given_now bigint, count_max integer, per_host_max integer, lease_ms bigint, given_taker text
    ) RETURNS SETOF ${schema}.callbacks LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM pg_advisory_xact_lock(${TAKE_LOCK_CLASS}, hashtext('${schema}'));
      RETURN QUERY
        -- From one host to the next along the index, however much is due for each of them.
        WITH RECURSIVE hosts AS (
          (SELECT host FROM ${schema}.callbacks WHERE state = 'due' ORDER BY host LIMIT 1)
          UNION ALL
          SELECT next.host FROM hosts, LATERAL (
            SELECT host FROM ${schema}.callbacks WHERE state = 'due' AND host > hosts.host ORDER BY host LIMIT 1) AS next
        ), room AS (
          SELECT hosts.host, per_host_max - (SELECT count(*) FROM ${schema}.callbacks AS held
            WHERE held.host = hosts.host AND held.taker IS NOT NULL AND held.next_at_ms > now_ms) AS free FROM hosts
        ), chosen AS (
          SELECT due.id, due.next_at_ms FROM room CROSS JOIN LATERAL (
            SELECT id, next_at_ms FROM ${schema}.callbacks AS one
            WHERE one.state = 'due' AND one.host = room.host AND one.next_at_ms <= now_ms
            ORDER BY one.next_at_ms, one.id LIMIT greatest(room.free, 0) FOR UPDATE SKIP LOCKED) AS due
          ORDER BY due.next_at_ms, due.id LIMIT count_max
        ), taken AS (
          UPDATE ${schema}.callbacks AS callback SET taker = given_taker, next_at_ms = now_ms + lease_ms
          FROM chosen WHERE callback.id = chosen.id RETURNING callback.*
        ) SELECT taken.* FROM taken JOIN chosen USING (id) ORDER BY chosen.next_at_ms, chosen.id;
    END $$;

    CREATE FUNCTION ${schema}.conclude_callback(
      given_now bigint, given_id text, given_taker text, attempt jsonb, outcome text, again_in_ms bigint
    ) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      concluded record;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      IF outcome = 'disabled' THEN
        PERFORM FROM ${schema}.callbacks AS other JOIN ${schema}.callbacks AS this
          ON ${sameUrl('other', 'this.owner', 'this.url')}
          WHERE this.id = given_id ORDER BY other.id FOR UPDATE OF other;
      END IF;
      UPDATE ${schema}.callbacks SET state = CASE WHEN outcome = 'again' THEN 'due' ELSE outcome END, tries = tries + 1,
        next_at_ms = CASE WHEN outcome = 'again' THEN now_ms + again_in_ms END, taker = NULL, changed_at_ms = now_ms,
        attempts = CASE WHEN jsonb_array_length(attempts) < ${CALLBACK_ATTEMPTS_KEPT} THEN attempts ELSE attempts - 0 END
          || attempt
        WHERE id = given_id AND taker = given_taker RETURNING owner, url INTO concluded;
      IF NOT FOUND THEN RETURN false; END IF;
      IF outcome = 'disabled' THEN
        INSERT INTO ${schema}.callbacks_disabled VALUES (concluded.owner, concluded.url, now_ms) ON CONFLICT DO NOTHING;
        UPDATE ${schema}.callbacks AS other SET changed_at_ms = now_ms, ${DISABLED}
          WHERE ${sameUrl('other', 'concluded.owner', 'concluded.url')} AND other.state IN ('waiting', 'due');
      END IF;
      RETURN true;
    END $$;

    CREATE FUNCTION ${schema}.replay_callbacks(given_now bigint, ids text[]) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      replayed integer;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM FROM ${schema}.callbacks WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
      UPDATE ${schema}.callbacks AS callback SET changed_at_ms = now_ms, ${DUE_NOW}
        WHERE callback.id = ANY (ids) AND ${canBeReplayed(schema, 'callback', 'now_ms')};
      GET DIAGNOSTICS replayed = ROW_COUNT;
      RETURN replayed;
    END $$;

    CREATE FUNCTION ${schema}.enable_callbacks(given_now bigint, given_owner text, given_url text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      was_disabled boolean;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      PERFORM FROM ${schema}.callbacks AS callback WHERE ${sameUrl('callback', 'given_owner', 'given_url')}
        ORDER BY id FOR UPDATE;
      DELETE FROM ${schema}.callbacks_disabled AS given WHERE ${sameUrl('given', 'given_owner', 'given_url')};
      was_disabled := FOUND;
      UPDATE ${schema}.callbacks AS callback SET changed_at_ms = now_ms, ${DUE_NOW}
        WHERE ${sameUrl('callback', 'given_owner', 'given_url')} AND state = 'disabled' AND generation IS NOT NULL;
      was_disabled := was_disabled OR FOUND;
      UPDATE ${schema}.callbacks AS callback SET changed_at_ms = now_ms, state = 'waiting'
        WHERE ${sameUrl('callback', 'given_owner', 'given_url')} AND state = 'disabled';
      RETURN was_disabled OR FOUND;
    END $$;

    CREATE FUNCTION ${schema}.sweep_callbacks(now_ms bigint, retention_ms bigint) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      removed integer := 0;
      removed_now integer;
    BEGIN
      DELETE FROM ${schema}.callbacks WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${schema}.callbacks WHERE keep_until_ms <= now_ms
        ORDER BY keep_until_ms LIMIT ${SLICE_ROWS_MAX} FOR UPDATE SKIP LOCKED));
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      removed := removed + removed_now;
      DELETE FROM ${schema}.callbacks WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${schema}.callbacks
        WHERE state IN ('delivered', 'given-up') AND changed_at_ms < now_ms - retention_ms
        ORDER BY changed_at_ms LIMIT ${SLICE_ROWS_MAX} FOR UPDATE SKIP LOCKED));
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      removed := removed + removed_now;
      DELETE FROM ${schema}.callbacks_disabled WHERE at_ms <= now_ms - ${CALLBACK_DISABLED_KEPT_MS};
      GET DIAGNOSTICS removed_now = ROW_COUNT;
      RETURN removed + removed_now;
    END $$;

    CREATE OR REPLACE FUNCTION ${schema}.sweep(given_now bigint, retention_ms bigint, notes_retention_ms bigint)
    RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      removed integer := ${schema}.sweep_tasks(given_now, retention_ms, notes_retention_ms);
      now_ms bigint := ${schema}.now_ms(given_now);
    BEGIN
      IF removed < 0 THEN RETURN removed; END IF;
      RETURN removed + ${schema}.sweep_outputs(now_ms, retention_ms) + ${schema}.sweep_callbacks(now_ms, retention_ms);
    END $$;
  `
}

/** Of advisory locks: 'fbcb' as a number. */
const TAKE_LOCK_CLASS = 0x66626362
const SLICE_ROWS_MAX = 2_000

/** What can be made due by an operator; false for what waits for its task, is disabled or being called. */
export function canBeReplayed(schema: string, row: string, nowMs: string): string {
  return `${row}.generation IS NOT NULL AND ${row}.state <> 'disabled'
    AND (${row}.taker IS NULL OR ${row}.next_at_ms <= ${nowMs})
    AND NOT ${isDisabled(schema, `${row}.owner`, `${row}.url`)}`
}

const DISABLED = `state = 'disabled', next_at_ms = NULL, taker = NULL`

/** At once and as if for the first time; whoever has it has lost it. */
const DUE_NOW = `state = 'due', next_at_ms = now_ms, due_since_ms = now_ms, tries = 0, taker = NULL`

function isDisabled(schema: string, owner: string, url: string): string {
  return `EXISTS (SELECT FROM ${schema}.callbacks_disabled AS given WHERE ${sameUrl('given', owner, url)})`
}

function sameUrl(row: string, owner: string, url: string): string {
  return `${row}.owner = ${owner} AND hashtextextended(${row}.url, 0) = hashtextextended(${url}, 0) AND ${row}.url = ${url}`
}

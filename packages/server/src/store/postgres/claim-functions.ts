import { LOCK_TIMEOUT_MS } from './apply-function.ts'

/**
 * Acts on idempotency reservations, one after the other, with a row of the answer for each: `kind` as the port has it,
 * null for acts that reserve nothing. Callers give them in the order of the keys, so that two calls never wait
 * crosswise.
 */
export function claimFunctions(schema: string): string {
  return `
    CREATE FUNCTION ${schema}.claim(
      given_now bigint, given_claimant uuid, given_claim_ms bigint, acts text[], principals text[], routes text[],
      keys text[], task_ids text[], fingerprints text[], windows bigint[]
    ) RETURNS TABLE (kind text, task_id text) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      held ${schema}.reservations;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      FOR i IN 1..cardinality(acts) LOOP
        kind := NULL;
        task_id := NULL;
        IF acts[i] = 'reserve' THEN
          LOOP
            INSERT INTO ${schema}.reservations VALUES (principals[i], routes[i], keys[i], task_ids[i], fingerprints[i],
              false, false, given_claimant, now_ms, least(now_ms + windows[i], ${MOMENT_MAX})) ON CONFLICT DO NOTHING;
            IF FOUND THEN kind := 'claimed'; EXIT; END IF;
            SELECT * INTO held FROM ${schema}.reservations
              WHERE principal = principals[i] AND route = routes[i] AND key = keys[i];
            CONTINUE WHEN NOT FOUND;
            IF held.expires_at_ms <= now_ms THEN
              DELETE FROM ${schema}.reservations WHERE principal = principals[i] AND route = routes[i]
                AND key = keys[i] AND expires_at_ms <= now_ms;
              CONTINUE;
            END IF;
            IF held.fingerprint <> fingerprints[i] THEN kind := 'mismatch'; EXIT; END IF;
            IF held.kept THEN kind := 'kept'; task_id := held.task_id; EXIT; END IF;
            IF held.claimed_at_ms > now_ms - given_claim_ms THEN kind := 'in-flight'; EXIT; END IF;
            UPDATE ${schema}.reservations SET resumed = true, claimed_by = given_claimant, claimed_at_ms = now_ms
              WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND task_id = held.task_id
                AND NOT kept AND claimed_at_ms = held.claimed_at_ms;
            IF FOUND THEN kind := 'resume'; task_id := held.task_id; EXIT; END IF;
          END LOOP;
        ELSIF acts[i] = 'confirm' THEN
          UPDATE ${schema}.reservations SET kept = true
            WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND NOT kept;
        ELSE
          IF acts[i] = 'release' THEN
            DELETE FROM ${schema}.reservations
              WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND NOT kept AND NOT resumed;
          END IF;
          -- Still there: the append before it was resumed may have been kept, so its id must stand for the key.
          UPDATE ${schema}.reservations SET resumed = true, claimed_at_ms = 0
            WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND NOT kept;
        END IF;
        RETURN NEXT;
      END LOOP;
    END $$;
  `
}

/**
 * The same, with every act conditional on the task for which the key was claimed, an act `renew`, and for `confirm` and
 * `release` a `kind` that says whether the claim was shared. Claims without `renews` are those of processes of the version
 * before, which call the function above: they are not renewed, and cannot be told that somebody has taken them over.
 */
export function holdClaimsFunction(schema: string): string {
  return `
    ALTER TABLE ${schema}.reservations ADD COLUMN renews boolean NOT NULL DEFAULT false;

    CREATE FUNCTION ${schema}.hold_claims(
      given_now bigint, given_claimant uuid, given_claim_ms bigint, acts text[], principals text[], routes text[],
      keys text[], task_ids text[], fingerprints text[], windows bigint[]
    ) RETURNS TABLE (kind text, task_id text) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      now_ms bigint := ${schema}.now_ms(given_now);
      held ${schema}.reservations;
      counts_ms bigint;
      was_resumed boolean;
    BEGIN
      PERFORM set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true);
      FOR i IN 1..cardinality(acts) LOOP
        kind := NULL;
        task_id := NULL;
        IF acts[i] = 'reserve' THEN
          LOOP
            INSERT INTO ${schema}.reservations (principal, route, key, task_id, fingerprint, kept, resumed, claimed_by,
                claimed_at_ms, expires_at_ms, renews)
              VALUES (principals[i], routes[i], keys[i], task_ids[i], fingerprints[i], false, false, given_claimant,
                now_ms, least(now_ms + windows[i], ${MOMENT_MAX}), true) ON CONFLICT DO NOTHING;
            IF FOUND THEN kind := 'claimed'; EXIT; END IF;
            SELECT * INTO held FROM ${schema}.reservations
              WHERE principal = principals[i] AND route = routes[i] AND key = keys[i];
            CONTINUE WHEN NOT FOUND;
            IF held.expires_at_ms <= now_ms THEN
              DELETE FROM ${schema}.reservations WHERE principal = principals[i] AND route = routes[i]
                AND key = keys[i] AND expires_at_ms <= now_ms;
              CONTINUE;
            END IF;
            IF held.fingerprint <> fingerprints[i] THEN kind := 'mismatch'; EXIT; END IF;
            IF held.kept THEN kind := 'kept'; task_id := held.task_id; EXIT; END IF;
            counts_ms := given_claim_ms;
            IF NOT held.renews THEN counts_ms := greatest(given_claim_ms, ${UNRENEWED_CLAIM_MS}); END IF;
            IF held.claimed_at_ms > now_ms - counts_ms THEN kind := 'in-flight'; EXIT; END IF;
            UPDATE ${schema}.reservations SET resumed = true, claimed_by = given_claimant, claimed_at_ms = now_ms, renews = true
              WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND task_id = held.task_id
                AND NOT kept AND claimed_at_ms = held.claimed_at_ms;
            IF FOUND THEN kind := 'resume'; task_id := held.task_id; EXIT; END IF;
          END LOOP;
        ELSIF acts[i] = 'confirm' THEN
          UPDATE ${schema}.reservations SET kept = true
            WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND task_id = task_ids[i]
            RETURNING resumed INTO was_resumed;
          kind := CASE WHEN FOUND AND NOT was_resumed THEN 'sole' ELSE 'shared' END;
        ELSIF acts[i] = 'renew' THEN
          UPDATE ${schema}.reservations SET claimed_at_ms = now_ms
            WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND task_id = task_ids[i]
              AND NOT kept AND claimed_by = given_claimant AND claimed_at_ms > 0;
        ELSE
          IF acts[i] = 'release' THEN
            DELETE FROM ${schema}.reservations WHERE principal = principals[i] AND route = routes[i]
              AND key = keys[i] AND task_id = task_ids[i] AND NOT kept AND NOT resumed;
            kind := CASE WHEN FOUND THEN 'sole' ELSE 'shared' END;
          END IF;
          -- Still there: somebody else may have appended it, so its id must stand for the key.
          UPDATE ${schema}.reservations SET resumed = true, claimed_at_ms = 0
            WHERE principal = principals[i] AND route = routes[i] AND key = keys[i] AND task_id = task_ids[i] AND NOT kept;
        END IF;
        RETURN NEXT;
      END LOOP;
    END $$;
  `
}

/** For how long a claim counts that is not renewed: longer than an append takes. */
const UNRENEWED_CLAIM_MS = 45_000

/** What a number of JavaScript holds exactly. */
export const MOMENT_MAX = Number.MAX_SAFE_INTEGER

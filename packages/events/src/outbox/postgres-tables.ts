/**
 * Forward only: what was released stays as it is, and later versions add to the end. Safe to run at any time and by
 * several processes at once.
 *
 * The sequence hands out its numbers one by one (`CACHE 1`, the default): with more, a session would keep numbers for
 * later, and rows of one key could get them in the wrong order.
 */
export function migrationOf(table: string): string {
  const index = `${table.split('.').at(-1)}_pending`
  return `SELECT pg_advisory_xact_lock(hashtext('${table}'));
CREATE TABLE IF NOT EXISTS ${table} (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  id text NOT NULL DEFAULT gen_random_uuid()::text,
  source text NOT NULL,
  type text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  key text,
  time timestamptz NOT NULL DEFAULT clock_timestamp(),
  attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
  content_type text NOT NULL DEFAULT 'application/json',
  data bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz,
  refused text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX IF NOT EXISTS ${index} ON ${table} (seq) WHERE published_at IS NULL AND refused IS NULL;
CREATE TABLE IF NOT EXISTS ${table}_relay (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  owner text,
  until timestamptz NOT NULL DEFAULT '-infinity',
  wants_notices boolean NOT NULL DEFAULT false
);
INSERT INTO ${table}_relay DEFAULT VALUES ON CONFLICT DO NOTHING;
`
}

/**
 * Writers notify only while a relay sleeps and listens: transactions that notify commit one after the other in
 * PostgreSQL, and a relay that has something to do looks by itself anyway.
 */
export function insertOf(table: string): string {
  return `WITH written AS (
  INSERT INTO ${table} (topic, id, source, type, version, key, time, attributes, content_type, data)
  VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7::float8 / 1000), $8::jsonb, $9, $10)
) SELECT pg_notify('${table}', '') FROM ${table}_relay WHERE wants_notices`
}

/** Held to the end of the transaction. Keys that share a hash only wait for each other. */
export function lockKeyOf(table: string): string {
  return `SELECT pg_advisory_xact_lock(hashtext('${table}'), hashtext($1 || ' ' || $2))`
}

import type pg from 'pg'
import { type Column, type ColumnType, ENDED, PLACE_COLUMNS, TABLES, type Table, type TableName } from '../tables.ts'

export const SCHEMA_DEFAULT = 'forebay_logs'

/** Whose rights queries have, where whoever writes was allowed to make it: the views, and nothing else. */
export function readerOf(schema: string): string {
  return `${schema}_reader`
}

export function rowsTable(schema: string, table: TableName): string {
  return `${schema}.${table}_rows`
}

/** `day` as 2026-11-21. */
export function partitionOf(schema: string, table: TableName, day: string): string {
  return `${rowsTable(schema, table)}_${day.replaceAll('-', '')}`
}

/** Makes what is missing, also of a schema that an older version made. Processes that start together do it one after the other. */
export async function makeSchema(client: pg.ClientBase, schema: string): Promise<void> {
  const added = TABLES.flatMap(({ name, addedColumns }) => addedColumns.map((column) => [name, column.name] as const))
  const { rows } = await client.query(
    `SELECT to_regclass($1) IS NOT NULL AND NOT EXISTS (
       SELECT FROM unnest($2::text[], $3::text[]) AS added (name, wanted) LEFT JOIN pg_attribute
         ON attrelid = to_regclass('${schema}.' || name) AND attname = wanted AND NOT attisdropped
       WHERE attname IS NULL) AS there`,
    [`${schema}.attempts`, added.map(([name]) => name), added.map(([, column]) => column)],
  )
  if (!(rows as { there: boolean }[])[0]!.there) await makeTables(client, schema)
  await grantReading(client, schema)
}

function makeTables(client: pg.ClientBase, schema: string): Promise<void> {
  return underLock(
    client,
    schema,
    `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms';
    CREATE SCHEMA IF NOT EXISTS ${schema};
    CREATE TABLE IF NOT EXISTS ${schema}.places (
      source text COLLATE "C" PRIMARY KEY, bounds bigint[] NOT NULL, seen timestamptz NOT NULL
    );
    CREATE TABLE IF NOT EXISTS ${schema}.drops (id text COLLATE "C" PRIMARY KEY, seen timestamptz NOT NULL);
    ${TABLES.map((table) => tableOf(schema, table)).join('')}
    ${DERIVED.map(([name, select]) => `CREATE OR REPLACE VIEW ${schema}.${name} AS ${select(schema)};`).join('\n')}`,
  )
}

/** Two that change one object's catalogue row at once fail, even where both would write the same. */
async function underLock(client: pg.ClientBase, schema: string, statements: string): Promise<void> {
  try {
    await client.query(`
    BEGIN;
    SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext('${schema}'));
    ${statements}
    COMMIT;`)
  } catch (thrown) {
    await client.query('ROLLBACK').catch(() => {})
    throw thrown
  }
}

/** Best effort: without the role, queries have the rights of the user of the address, and the same checks. */
async function grantReading(client: pg.ClientBase, schema: string): Promise<void> {
  const reader = readerOf(schema)
  const views = [...TABLES.map(({ name }) => name), ...DERIVED.map(([name]) => name)]
  for (const statement of [
    `DO $role$ BEGIN
       IF to_regrole('${reader}') IS NULL THEN CREATE ROLE ${reader} NOLOGIN; END IF;
     END $role$;`,
    `GRANT ${reader} TO CURRENT_USER;`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${reader};
     GRANT SELECT ON ${views.map((name) => `${schema}.${name}`).join(', ')} TO ${reader};`,
  ]) {
    await underLock(client, schema, statement).catch(() => {})
  }
}

/**
 * A partition of its own for the day. It is made beside the table and attached, which waits for no query. Whoever drops one
 * and whoever makes one hold the same lock.
 */
export async function makePartition(
  client: pg.ClientBase,
  schema: string,
  table: TableName,
  day: string,
): Promise<void> {
  const partition = partitionOf(schema, table, day)
  await underLock(
    client,
    schema,
    `DO $make$ BEGIN
      IF to_regclass('${partition}') IS NULL THEN
        CREATE TABLE ${partition} (LIKE ${rowsTable(schema, table)} INCLUDING DEFAULTS);
        ALTER TABLE ${rowsTable(schema, table)} ATTACH PARTITION ${partition}
          FOR VALUES FROM ('${day}') TO ('${day}'::date + 1);
      END IF;
    END $make$;`,
  )
}

export function postgresType({ type }: Column): string {
  return TYPES[type]
}

export const PLACE_TYPES: readonly (readonly [name: string, type: string])[] = PLACE_COLUMNS.map((name) => [
  name,
  name.endsWith('_byte') ? 'bigint' : 'text',
])

/** To give a table another column one must wait for queries, and writers would wait behind; it is tried again soon. */
const LOCK_TIMEOUT_MS = 2_000
/** Of advisory locks: 'fblg' as a number. */
export const LOCK_CLASS = 0x66626c67
/** What views leave out, as settings `forebay_logs.NAME`: by time of the row, and by the transaction that wrote it. */
export type ViewSetting = 'since' | 'batch_from' | 'batch_until'

const TYPES: Readonly<Record<ColumnType, string>> = {
  text: 'text',
  integer: 'bigint',
  number: 'double precision',
  boolean: 'boolean',
  time: 'timestamptz',
  json: 'jsonb',
}

/** `batch` is the transaction that wrote the row: whoever tails asks for those that have ended since. */
function tableOf(schema: string, { name, columns, addedColumns }: Table): string {
  const rows = rowsTable(schema, name)
  const typed = (some: readonly Column[]) => some.map((column) => [column.name, postgresType(column)] as const)
  const original = columns.filter((column) => !addedColumns.some((added) => added.name === column.name))
  // A view that is there takes columns only behind those it has.
  const all = [...typed(original), ...PLACE_TYPES, ...typed(addedColumns)]
  const add = typed(addedColumns).map(
    ([column, type]) => `ALTER TABLE ${rows} ADD COLUMN IF NOT EXISTS ${column} ${type};`,
  )
  return `
    CREATE TABLE IF NOT EXISTS ${rows} (
      ${all.map(([column, type]) => `${column} ${type}`).join(', ')},
      day date NOT NULL, batch bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint
    ) PARTITION BY RANGE (day);
    ${add.join('\n')}
    CREATE INDEX IF NOT EXISTS ${name}_rows_time ON ${rows} USING brin (time) WITH (autosummarize = on);
    CREATE INDEX IF NOT EXISTS ${name}_rows_batch ON ${rows} (batch);
    CREATE OR REPLACE VIEW ${schema}.${name} AS
      SELECT ${all.map(([column]) => column).join(', ')} FROM ${rows}
      WHERE time >= ${setting('since', 'timestamptz', "'-infinity'")}
        AND batch >= ${setting('batch_from', 'bigint', '0')} AND batch < ${setting('batch_until', 'bigint', '9223372036854775807')};
  `
}

/** A query of its own is carried out once; the bare function would be for each row. */
function setting(name: ViewSetting, type: string, absent: string): string {
  return `(SELECT coalesce(nullif(current_setting('forebay_logs.${name}', true), '')::${type}, ${absent}))`
}

/** Of several records of a task the one that holds comes first. */
const DECIDING_FIRST = `generation DESC, (${ENDED}) DESC, time DESC`

/** What several records say of one task. */
const DERIVED: readonly (readonly [name: string, select: (schema: string) => string])[] = [
  [
    'tasks',
    (schema) => `SELECT task, max(queue) AS queue, max(key) AS key, max(owner) AS owner,
      (array_agg(state ORDER BY ${DECIDING_FIRST}))[1] AS state,
      min(time) FILTER (WHERE state = 'accepted') AS accepted,
      min(time) FILTER (WHERE state = 'running') AS started,
      max(time) FILTER (WHERE ${ENDED}) AS finished,
      max(attempts) AS attempts, max(trace) AS trace,
      (array_agg(code ORDER BY ${DECIDING_FIRST}))[1] AS code
    FROM ${schema}.task_records GROUP BY task`,
  ],
  [
    'attempts',
    (schema) => `SELECT task, queue, generation, attempts AS attempt,
      min(time) FILTER (WHERE state = 'running') AS started,
      max(time) FILTER (WHERE state <> 'running') AS ended,
      (array_agg(state ORDER BY time DESC))[1] AS state,
      (array_agg(code ORDER BY time DESC) FILTER (WHERE code IS NOT NULL))[1] AS code,
      (array_agg(detail ORDER BY time DESC) FILTER (WHERE detail IS NOT NULL))[1] AS detail
    FROM ${schema}.task_records WHERE attempts > 0 AND state NOT IN ('accepted', 'pending')
    GROUP BY task, queue, generation, attempts`,
  ],
]

import { ForebayError } from '@forebay/protocol'
import { applyAndCallFunction, applyFunction } from './apply-function.ts'
import { callbackFunctions } from './callback-functions.ts'
import { callbackTables } from './callback-tables.ts'
import { claimFunctions, holdClaimsFunction } from './claim-functions.ts'
import type { Database } from './database.ts'
import { outputFunctions } from './output-functions.ts'
import { outputTables } from './output-tables.ts'
import { parkingFunctions } from './parking-functions.ts'
import { sweepFunction, sweepOutputsFunction } from './sweep-function.ts'
import { parkingTables, resultsView, tables } from './tables.ts'

/**
 * What was done to the schema, in order; its number is its place, from 1. Forward only: one that was released is never
 * changed. Processes of the version before go on working meanwhile, so a migration adds (a column with a default,
 * another function), and what nobody calls any more is removed a version later.
 */
const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (schema) =>
    [tables, parkingTables, applyFunction, claimFunctions, parkingFunctions, sweepFunction]
      .map((make) => make(schema))
      .join(''),
  (schema) => [outputTables, outputFunctions, sweepOutputsFunction].map((make) => make(schema)).join(''),
  (schema) => [callbackTables, callbackFunctions, applyAndCallFunction].map((make) => make(schema)).join(''),
  resultsView,
  holdClaimsFunction,
]

export const SCHEMA_VERSION = MIGRATIONS.length

/**
 * Brings the schema to this version. Processes that start together do it one after the other; throws CONFIG_INVALID for a
 * schema that a later version made.
 */
export async function migrate(database: Database, schema: string): Promise<void> {
  const version = await versionOf(database, schema)
  if (version > SCHEMA_VERSION) throw newer(database, schema, version)
  if (version === SCHEMA_VERSION) return
  const steps = MIGRATIONS.map((make, index) => step(schema, index + 1, make(schema)))
  await database.script(`
    BEGIN;
    SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext('${schema}'));
    CREATE SCHEMA IF NOT EXISTS ${schema};
    CREATE TABLE IF NOT EXISTS ${schema}.migrations (
      version integer PRIMARY KEY,
      applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    ${steps.join('')}
    COMMIT;`)
  // Another process, of a later version, may have been quicker.
  const reached = await versionOf(database, schema)
  if (reached > SCHEMA_VERSION) throw newer(database, schema, reached)
}

/** Of advisory locks: 'fbay' as a number. */
export const LOCK_CLASS = 0x66626179

/** Under the lock, what was done meanwhile is not done again. */
function step(schema: string, version: number, body: string): string {
  const tag = `$migration_${version}$`
  return `
    DO ${tag}
    BEGIN
      IF NOT EXISTS (SELECT FROM ${schema}.migrations WHERE version >= ${version}) THEN
        ${body}
        INSERT INTO ${schema}.migrations (version) VALUES (${version});
      END IF;
    END ${tag};`
}

/** 0 where there is no schema yet. */
async function versionOf(database: Database, schema: string): Promise<number> {
  const found = await database.rows<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
    `${schema}.migrations`,
  ])
  if (found[0]?.there !== true) return 0
  const rows = await database.rows<{ version: number }>(
    `SELECT coalesce(max(version), 0)::integer AS version FROM ${schema}.migrations`,
  )
  return rows[0]!.version
}

function newer(database: Database, schema: string, version: number): ForebayError {
  return new ForebayError(
    'CONFIG_INVALID',
    `The schema '${schema}' at ${database.address} was made by a later version of Forebay (${version}; this one knows ${SCHEMA_VERSION}): run that version, or name another database.`,
    { members: { version, known: SCHEMA_VERSION } },
  )
}

import type pg from 'pg'
import { TABLES } from '../tables.ts'
import { LOCK_CLASS } from './schema.ts'

interface Limits {
  readonly retentionMs: number
  readonly bytesMax: number
}

interface Day {
  readonly day: string
  readonly bytes: number
}

/** Whole days go: those that are over, and the oldest ones of what is too much. Today's always stays. */
export async function retire(client: pg.ClientBase, schema: string, limits: Limits, nowMs: number): Promise<void> {
  const parents = TABLES.map(({ name }) => `${schema}.${name}_rows`)
  const { rows } = await client.query(
    `SELECT partition.relname AS name, right(partition.relname, 8) AS day,
       pg_total_relation_size(partition.oid)::float8 AS bytes
     FROM pg_inherits JOIN pg_class AS partition ON partition.oid = inhrelid
     WHERE inhparent = ANY ($1::regclass[])`,
    [parents],
  )
  const partitions = rows as readonly (Day & { readonly name: string })[]
  const days = retiredDays(partitions, limits, nowMs)
  for (const { name } of partitions.filter(({ day }) => days.has(day))) {
    await client.query(`
      BEGIN;
      SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms';
      SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext('${schema}'));
      DROP TABLE IF EXISTS ${schema}.${name};
      COMMIT;`)
  }
  await client.query(`DELETE FROM ${schema}.places WHERE seen < now() - interval '${PLACES_KEPT}'`)
  await client.query(`DELETE FROM ${schema}.drops WHERE seen < now() - interval '${PLACES_KEPT}'`)
}

function retiredDays(partitions: readonly Day[], { retentionMs, bytesMax }: Limits, nowMs: number): Set<string> {
  const retired = new Set<string>()
  const today = compact(nowMs)
  const oldest = compact(nowMs - retentionMs)
  const byDay = [...Map.groupBy(partitions, ({ day }) => day)].sort(([one], [other]) => (one < other ? -1 : 1))
  let bytes = partitions.reduce((sum, one) => sum + one.bytes, 0)
  for (const [day, inDay] of byDay) {
    if (day >= today || (day >= oldest && bytes <= bytesMax)) continue
    retired.add(day)
    bytes -= inDay.reduce((sum, one) => sum + one.bytes, 0)
  }
  return retired
}

/** 20261121 */
function compact(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')
}

/** To drop a day one must wait for queries, and writers would wait behind; it is tried again soon. */
const LOCK_TIMEOUT_MS = 2_000
/** How long it is known what has come. Nothing that was in the log so long ago is still there. */
const PLACES_KEPT = '30 days'

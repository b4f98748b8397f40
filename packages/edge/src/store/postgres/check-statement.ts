import { ForebayError } from '@forebay/protocol'
import type pg from 'pg'

/**
 * Throws QUERY_REFUSED unless the statement is one SELECT over views of the schema, with built-in functions that have no
 * effects. The server's own parser says so: the statement becomes a view that is never asked and rolled back, and its tree
 * names every relation and function by number. A role alone would not do, since SQL may call set_config.
 */
export async function checkStatement(client: pg.Client, schema: string, sql: string): Promise<void> {
  // It would end the text before its end on the way to the server.
  if (sql.includes('\0')) throw new ForebayError('QUERY_REFUSED', 'SQL holds no NUL.')
  const { processID } = client as pg.Client & { readonly processID?: number }
  const name = `${schema}.asked_${processID ?? 0}`
  await client.query(`BEGIN; SET LOCAL search_path = ${schema}; SET LOCAL TimeZone = 'UTC'`)
  try {
    await client.query(extended(`CREATE VIEW ${name} AS SELECT 1 AS one FROM (${sql}\n) AS asked`))
    const { rows } = await client.query(
      'SELECT ev_action::text AS tree FROM pg_rewrite WHERE ev_class = $1::regclass',
      [name],
    )
    const tree = (rows as { readonly tree: string }[])[0]!.tree
    const found = await client.query(CHECK, [
      numbersOf(tree, RELATION),
      schema,
      numbersOf(tree, FUNCTION),
      numbersOf(tree, OPERATOR),
    ])
    const [wrong] = found.rows as { readonly what: string }[]
    if (wrong !== undefined) throw new ForebayError('QUERY_REFUSED', `A query cannot use ${wrong.what} here.`)
  } finally {
    await client.query('ROLLBACK')
  }
}

/** One statement, and no values: what holds several is refused by the server. */
export function extended(text: string): pg.QueryConfig {
  return { text, queryMode: 'extended' } as pg.QueryConfig
}

function numbersOf(tree: string, pattern: RegExp): string[] {
  return [...new Set([...tree.matchAll(pattern)].map(([, number]) => number!))].filter((number) => number !== '0')
}

const RELATION = /:relid (\d+)/g
const FUNCTION = /:(?:funcid|opfuncid|aggfnoid|winfnoid|tsmhandler) (\d+)/g
const OPERATOR = /:opno (\d+)/g
/** Numbers below are the server's own; extensions and what people made come after. */
const FIRST_NUMBER_OF_OTHERS = 16_384

const CHECK = `
  SELECT 'the table ' || relname AS what FROM pg_class
    WHERE oid = ANY ($1::oid[]) AND NOT (relkind = 'v' AND relnamespace = $2::regnamespace)
  UNION ALL
  SELECT 'the function ' || proname || '()' FROM pg_proc
    WHERE oid = ANY ($3::oid[]) AND (oid >= ${FIRST_NUMBER_OF_OTHERS} OR proname LIKE '%\\_to\\_xml%'
      OR (provolatile = 'v' AND proname NOT IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid')))
  UNION ALL
  SELECT 'the operator ' || oprname FROM pg_operator WHERE oid = ANY ($4::oid[]) AND oid >= ${FIRST_NUMBER_OF_OTHERS}
  LIMIT 1`

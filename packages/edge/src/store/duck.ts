import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { ForebayError } from '@forebay/protocol'

export type Duck = typeof import('@duckdb/node-api')

/** Loaded only by whoever stores or asks. */
export async function loadDuck(): Promise<Duck> {
  try {
    return await import('@duckdb/node-api')
  } catch (thrown) {
    const message = 'DuckDB is not installed here: npm install @duckdb/node-api, or name edge.logs.store: postgres://…'
    throw new ForebayError('LOGS_UNAVAILABLE', message, { cause: thrown })
  }
}

/** A database in memory that reaches nothing but files, and no extension that is not built in. */
export async function openDuck(
  duck: Duck,
  { threads, memoryBytes, spillDir = '' }: { threads: number; memoryBytes: number; spillDir?: string },
): Promise<{ instance: DuckDBInstance; connection: DuckDBConnection }> {
  const instance = await duck.DuckDBInstance.create(':memory:', {
    threads: String(threads),
    memory_limit: `${memoryBytes}B`,
    temp_directory: spillDir,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  return { instance, connection }
}

export function sqlText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

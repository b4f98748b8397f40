import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type Postgres, startPostgres } from '../../../scripts/rig/postgres.ts'

/** A real PostgreSQL, and a new database of it for whoever asks. */
export async function openDatabases(): Promise<{ create(): Promise<string>; server: Postgres } & AsyncDisposable> {
  const server = await startPostgres()
  return {
    server,
    async create() {
      const name = `two_step_${randomBytes(6).toString('hex')}`
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      await client.query(`CREATE DATABASE ${name}`)
      await client.end()
      return server.url.replace(/\/postgres$/, `/${name}`)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

import { startPgBouncer } from '../../../scripts/rig/pgbouncer.ts'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { storeContract } from '../src/store/contract/contract.ts'
import { connect } from './store-postgres-connect.ts'

const server = await startPostgres()
const pooler = await startPgBouncer(server.url)

storeContract('postgres behind PgBouncer in transaction mode', () => ({
  connect: (place, options) => connect(pooler.url, place, options),
  child: { url: new URL('./store-postgres-connect.ts', import.meta.url).href, argument: pooler.url },
  async close() {
    await pooler[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  },
}))

import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { storeContract } from '../src/store/contract/contract.ts'
import { connect } from './store-postgres-connect.ts'

const server = await startPostgres()

storeContract('postgres', () => ({
  connect: (place, options) => connect(server.url, place, options),
  child: { url: new URL('./store-postgres-connect.ts', import.meta.url).href, argument: server.url },
  async close() {
    await server[Symbol.asyncDispose]()
  },
}))

import { startRedis } from '../../../scripts/rig/redis.ts'
import { storeContract } from '../src/store/contract/contract.ts'
import { connect } from './store-redis-connect.ts'

const server = await startRedis()

storeContract('redis', () => ({
  connect: (place, options) => connect(server.url, place, options),
  child: { url: new URL('./store-redis-connect.ts', import.meta.url).href, argument: server.url },
  skipRetention: 'Redis expires keys by its own clock: store-redis-server.test.ts waits for that in real time.',
  async close() {
    await server[Symbol.asyncDispose]()
  },
}))

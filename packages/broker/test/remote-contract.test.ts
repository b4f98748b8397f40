import { brokerContract } from '../src/contract/contract.ts'
import { forebayBroker } from '../src/remote/remote.ts'
import { startForebay } from './support/forebay-server.ts'
import { connect } from './support/remote-child.ts'

brokerContract('remote', {
  capabilities: forebayBroker({ server: '127.0.0.1:1' }).capabilities,
  async open() {
    const server = await startForebay()
    return {
      connect: (options) => connect(server.address, options),
      child: { url: new URL('./support/remote-child.ts', import.meta.url).href, argument: server.address },
      outage: { stopLog: () => server.kill(), startLog: () => server.restart() },
      close: async () => server[Symbol.asyncDispose](),
    }
  },
})

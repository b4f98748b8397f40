import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brokerContract } from '../src/contract/contract.ts'
import { embeddedBroker } from '../src/embedded/embedded.ts'

brokerContract('embedded', {
  capabilities: embeddedBroker({ dir: 'unopened' }).capabilities,
  async open() {
    const dir = await mkdtemp(join(tmpdir(), 'forebay-embedded-contract-'))
    return {
      connect: (options) => embeddedBroker({ dir, ...options }),
      child: { url: new URL('./support/embedded-child.ts', import.meta.url).href, argument: dir },
      close: () => rm(dir, { recursive: true }),
    }
  },
})

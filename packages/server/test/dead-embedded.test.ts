import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { embeddedBroker } from '@forebay/broker/embedded'
import { deadLetterSuite } from './support/dead-suite.ts'

deadLetterSuite('embedded', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-dead-'))
  const broker = embeddedBroker({ dir })
  return {
    broker,
    async close() {
      await broker.close()
      await rm(dir, { recursive: true })
    },
  }
})

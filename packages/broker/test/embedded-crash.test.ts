import { test } from 'node:test'
import { ContractLog } from '../src/contract/contract-log.ts'
import { killWhilePublishing } from '../src/contract/crash-tests.ts'
import { embeddedBroker } from '../src/embedded/embedded.ts'
import { folder } from './support/embedded-log.ts'

test('killed 20 times at random moments while publishing, it keeps every acknowledged record', async (context) => {
  const dir = await folder(context)
  const child = { url: new URL('./support/embedded-child.ts', import.meta.url).href, argument: dir }
  const connect = () => embeddedBroker({ dir })
  const harness = { connect, child, close: async () => {} }
  const log = new ContractLog(harness, connect().capabilities, (reason) => context.skip(reason))
  context.after(() => log.close())
  await killWhilePublishing(log, child, 20)
})

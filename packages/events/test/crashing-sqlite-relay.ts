import { embeddedBroker } from '@forebay/broker/embedded'
import { createRelay } from '../src/outbox/relay.ts'
import { sqliteOutbox } from '../src/outbox/sqlite-outbox.ts'
import { verified } from './some-events.ts'

/** Kills itself when the log has its first wave and the database does not know it yet. */
const [path, dir] = process.argv.slice(2) as [string, string]
const outbox = sqliteOutbox({ source: '/user-service' }).rows(path)
outbox.settle = async () => process.kill(process.pid, 'SIGKILL') as unknown as undefined
await createRelay({
  outbox,
  broker: embeddedBroker({ dir }),
  events: [verified],
  partitions: 1,
  leaseMs: 300,
  waveRowsMax: 7,
})

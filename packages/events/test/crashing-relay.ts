import { kafkaBroker } from '@forebay/broker/kafka'
import pg from 'pg'
import type { OutboxRows } from '../src/outbox/outbox-rows.ts'
import { postgresOutbox } from '../src/outbox/postgres-outbox.ts'
import { createRelay } from '../src/outbox/relay.ts'
import { countedOn } from './some-events.ts'

/** A process for tests to kill; or it kills itself when the log has a wave and the database does not know it yet. */
const [url, table, bootstrap, topic, how] = process.argv.slice(2) as [string, string, string, string, string]
const pool = new pg.Pool({ connectionString: url, max: 3 })
pool.on('error', () => {})
const outbox = postgresOutbox({ source: '/counters', table }).rows(pool)
const dies: Pick<OutboxRows, 'settle'> = {
  settle: async () => {
    process.kill(process.pid, 'SIGKILL')
  },
}
if (how === 'dies-before-settling') Object.assign(outbox, dies)
const relay = await createRelay({
  outbox,
  broker: kafkaBroker({ bootstrap: [bootstrap] }),
  events: [countedOn(topic)],
  partitions: 4,
  leaseMs: 600,
  pollMs: 20,
  waveRowsMax: 100,
})
while (relay.state !== 'active') await new Promise((resolve) => setTimeout(resolve, 5))
console.log('active')

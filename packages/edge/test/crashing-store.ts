import { systemClock } from '@forebay/broker'
import { EDGE_TOPIC, sequenceHeader, sourceHeader } from '@forebay/edge'
import { LogStore, readRow } from '@forebay/edge/store'
import { openLog, random, silent } from './edge-rig.ts'
import { storeFolder } from './store-rig.ts'

/**
 * Publishes rows and stores them, both without a pause, until somebody kills it: `DIR`, or `DIR COUNT` to go on to so many
 * records and stop in order. Every fourth record is one that came before. A day of the store's clock is 24 s, so that files
 * are merged and removed as well. With an address and a schema behind, the rows go to that PostgreSQL.
 */
const [dir, upTo = '', url, schema] = process.argv.slice(2) as [string, string?, string?, string?]
const wanted = upTo === '' ? Number.POSITIVE_INFINITY : Number(upTo)
const broker = await openLog(dir)
const clock = { ...systemClock, wallMs: () => Math.round(Date.now() + performance.now() * 3_600) }
let stored = 0
const store = await LogStore.start({
  options: {
    ...(url === undefined ? { dir: storeFolder(dir) } : { url, schema: schema! }),
    ...{ retentionMs: 10 ** 12, bytesMax: 2 ** 40, writeEveryMs: 5, tidyEveryMs: 20 },
  },
  ...{ broker, clock, random, log: silent },
  topics: new Map([[EDGE_TOPIC, readRow]]),
  meters: {
    written(rows, repeats) {
      stored += rows + repeats
    },
  },
})
process.stdout.write('started\n')
const [state] = await broker.inspect({ topics: [EDGE_TOPIC], group: 'forebay.logs' })
const left = state!.end - (state!.committed ?? 0)
let offset = state!.end
for (; offset < wanted; offset++) {
  const row = Math.floor((offset * 3) / 4)
  const value = { v: 1, kind: 'access', time: new Date().toISOString(), path: `/${row}` }
  await broker.publish([
    {
      topic: EDGE_TOPIC,
      key: null,
      value: Buffer.from(JSON.stringify(value)),
      headers: [sourceHeader('web-1:file', 'e1'), sequenceHeader(row * 100, row * 100 + 100)],
    },
  ])
}
while (stored < left + offset - state!.end) await clock.sleep(10)
await store.stop()
await broker.close()

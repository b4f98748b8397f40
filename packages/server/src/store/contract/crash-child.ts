import type { Store } from '../store.ts'
import type { StoreContractOptions } from './contract.ts'
import { apply, succeeded } from './contract-place.ts'
import { CallbackChild } from './crash-child-callback.ts'
import { CHILD_STREAM_PARTITION, OutputChild } from './crash-child-output.ts'
import { ParkingChild } from './crash-child-parking.ts'
import { ManualClock } from './manual-clock.ts'

/**
 * Applies one batch after another, two results each, to partition 0 from the stored position on, and writes each
 * batch's `next` once it is durable; beside it claims a key and writes that, parks, takes and removes rows, has a task
 * say something, and registers and concludes callbacks. Until it is killed.
 */
const [url, argument, place, options] = process.argv.slice(2) as [string, string, string, string]
const { connect } = (await import(url)) as {
  connect(argument: string, place: string, options: StoreContractOptions): Store
}
const store = connect(argument, place, { ...(JSON.parse(options) as StoreContractOptions), clock: new ManualClock() })
await store.open()
const parked = store.parking === null ? null : await ParkingChild.begin(store.parking)
const positions = await store.positions('results')
const saying = store.outputs === null ? null : new OutputChild(store, positions.get(CHILD_STREAM_PARTITION) ?? 0)
const calling = store.callbacks === null ? null : new CallbackChild(store.callbacks)
let next = positions.get(0) ?? 0
for (;;) {
  const results = [succeeded(`t${next}`, `${next}`), succeeded(`t${next + 1}`, `${next + 1}`)]
  const claim = { principal: 'anna', route: 'orders', key: `k${next}` }
  await Promise.all([
    apply(store, next, ...results),
    store.reserve({ ...claim, taskId: `t${next}`, fingerprint: 'f', windowMs: 60_000 }),
    parked?.step(next),
    saying?.step(),
    calling?.step(next),
  ])
  next += 2
  process.stdout.write(`${next}\n`)
}

import { percentilesOf } from '../percentiles.ts'
import { type EventClient, newOrder } from './event-client.ts'

/** Who publishes: so many callers, each so many events in one call, the next when those are in the log. */
export interface Load {
  readonly name: string
  readonly callers: number
  readonly eventsACall: number
}

export const LOADS: readonly Load[] = [
  { name: 'one caller', callers: 1, eventsACall: 1 },
  { name: '64 callers', callers: 64, eventsACall: 1 },
  { name: '1,000 at once', callers: 1, eventsACall: 1_000 },
]

export interface LoadFigures {
  readonly load: string
  readonly events: number
  readonly perSecond: number
  /** Of a call. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU time of this process an event, all threads. */
  readonly cpuMicros: number
  readonly residentMiB: number
}

/** Each load for so long; prints the figures as one line for whoever started this process. */
export async function runLoads(client: EventClient, seconds: number): Promise<void> {
  for (const load of LOADS) await runLoad(client, load, WARM_UP_S / LOADS.length)
  const figures: LoadFigures[] = []
  for (const load of LOADS) figures.push(await runLoad(client, load, seconds))
  await client.close()
  console.log(`FIGURES ${JSON.stringify(figures)}`)
}
const WARM_UP_S = 1

async function runLoad(client: EventClient, { name, callers, eventsACall }: Load, seconds: number) {
  const tookMs: number[] = []
  let number = 0
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  const over = began + seconds * 1_000
  const lane = async () => {
    while (performance.now() < over) {
      const orders = Array.from({ length: eventsACall }, () => newOrder(number++))
      const called = performance.now()
      await client.publish(orders)
      tookMs.push(performance.now() - called)
    }
  }
  await Promise.all(Array.from({ length: callers }, lane))
  const tookS = (performance.now() - began) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  const { p50Ms, p99Ms } = percentilesOf(tookMs)
  const events = tookMs.length * eventsACall
  const residentMiB = process.memoryUsage.rss() / 2 ** 20
  return {
    load: name,
    events,
    perSecond: events / tookS,
    p50Ms,
    p99Ms,
    cpuMicros: (user + system) / events,
    residentMiB,
  }
}

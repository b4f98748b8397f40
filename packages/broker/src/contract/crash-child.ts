import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker, TopicSpec } from '../broker.ts'
import type { ConnectOptions } from './contract.ts'
import { bytes } from './contract-log.ts'

/** The program that the crash tests kill. Arguments: the adapter's module, its argument, the order as JSON. */
const [url, argument, order] = process.argv.slice(2)
const adapter: { connect(argument: string, options: ConnectOptions): Broker } = await import(url!)
const { act, topic, group }: { act: 'publish' | 'consume'; topic: TopicSpec; group: string } = JSON.parse(order!)

const broker = adapter.connect(argument!, { commitIntervalMs: 50 })
await broker.open({ topics: [topic] })
if (act === 'publish') await publishForEver()
else await consumeAndCommit()

/** Writes `<partition>/<offset> <value> acknowledged` for each record; a line cut off by the kill shows. */
async function publishForEver(): Promise<void> {
  let published = 0
  const one = async (): Promise<void> => {
    for (;;) {
      const value = `run-${group}-${published++}`
      const [position] = await broker.publish([
        { topic: topic.name, key: bytes(value), value: bytes(value), headers: [] },
      ])
      process.stdout.write(`${position!.partition}/${position!.offset} ${value} acknowledged\n`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

/** Settles 0 to 4 and the odd ones from 7 on, in one go, and stays on after the commit has gone through. */
async function consumeAndCommit(): Promise<void> {
  const subscription = await broker.consume({ topics: [topic.name], group })
  const settled: (() => void)[] = []
  for await (const { deliveries } of subscription) {
    for (const delivery of deliveries) {
      const { offset } = delivery.record
      if (offset < 5 || (offset >= 7 && offset % 2 === 1)) settled.push(() => delivery.settle())
      if (offset === 29) await commit(settled)
    }
  }
}

async function commit(settled: readonly (() => void)[]): Promise<void> {
  for (const settle of settled) settle()
  for (;;) {
    const [state] = await broker.inspect({ topics: [topic.name], group })
    if (state!.committed === 5) break
    await sleep(10)
  }
  process.stdout.write('committed\n')
  setInterval(() => {}, 60_000)
}

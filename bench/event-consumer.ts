import { loadavg } from 'node:os'
import { join } from 'node:path'
import { kafkaBroker } from '@forebay/broker/kafka'
import { createProducer } from '@forebay/events'
import { startKafka } from '../scripts/rig/kafka.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { newOrder } from './events/event-client.ts'
import type { HandledFigures } from './events/handled-orders.ts'
import { orderPlacedOn } from './events/order-placed.ts'
import { describeMachine } from './machine.ts'
import { median } from './percentiles.ts'

export interface EventConsumerOptions {
  readonly rounds: number
  readonly seconds: number
}

/**
 * Handlers of 1 ms on one partition, by createConsumer with more and more of them at once and by a client of Kafka that
 * takes one after the other. True when no key lost its order.
 */
export async function eventConsumer({ rounds, seconds }: EventConsumerOptions): Promise<boolean> {
  const machine = describeMachine()
  await using kafka = await startKafka()
  await publishOrders(kafka.bootstrap, EVENTS_A_SECOND_MOST * (seconds + 1))
  const samples: Sample[] = []
  for (let round = 1; round <= rounds; round++) {
    const first = round % CONSUMERS.length
    for (const consumer of [...CONSUMERS.slice(first), ...CONSUMERS.slice(0, first)]) {
      await using running = startProcess({
        name: consumer.name,
        command: process.execPath,
        args: [
          join(import.meta.dirname, 'events', consumer.file),
          kafka.bootstrap,
          TOPIC,
          String(seconds),
          ...consumer.args,
        ],
      })
      const [, json] = await running.line(/FIGURES (\{.*\})/, 60_000)
      const figures = JSON.parse(json!) as HandledFigures
      const sample = { round, consumer: consumer.name, loadAverage: loadavg()[0]!, ...figures }
      samples.push(sample)
      const { perSecond, disordered, loadAverage } = sample
      const told = disordered === 0 ? '' : `  ${disordered} OUT OF ORDER`
      console.log(
        `round ${round}  ${consumer.name.padEnd(24)} ${Math.round(perSecond)}/s  load ${loadAverage.toFixed(1)}${told}`,
      )
    }
  }
  const rows = CONSUMERS.map(({ name }) => rowOf(name, samples))
  print(rows)
  await store('event-consumer', { machine, rounds, seconds, rows, samples })
  return samples.every(({ disordered }) => disordered === 0)
}

const RAW = '@platformatic/kafka, 1'
const CONSUMERS = [
  { name: RAW, file: 'platformatic-consumer.ts', args: [] },
  ...['1', '8', '64'].map((concurrency) => {
    return { name: `createConsumer, ${concurrency}`, file: 'forebay-consumer.ts', args: [concurrency] }
  }),
]
const TOPIC = 'orders'
/** More than any consumer here takes. */
const EVENTS_A_SECOND_MOST = 25_000

interface Sample extends HandledFigures {
  readonly round: number
  readonly consumer: string
  readonly loadAverage: number
}

/** On one partition, of 1,000 keys. */
async function publishOrders(bootstrap: string, events: number): Promise<void> {
  const orderPlaced = orderPlacedOn(TOPIC)
  const broker = kafkaBroker({ bootstrap: [bootstrap] })
  await using producer = await createProducer({ broker, source: '/bench', events: [orderPlaced], partitions: 1 })
  for (let number = 0; number < events; number += 1_000) {
    const some = Array.from({ length: 1_000 }, (_, index) => newOrder(number + index))
    await Promise.all(some.map((data) => producer.publish(orderPlaced, { data })))
  }
}

function rowOf(consumer: string, samples: readonly Sample[]) {
  const own = samples.filter((sample) => sample.consumer === consumer)
  const raw = samples.filter((sample) => sample.consumer === RAW)
  const shares = own.map(({ round, perSecond }) => perSecond / raw.find((one) => one.round === round)!.perSecond)
  const of = (figure: (sample: Sample) => number) => median(own.map(figure))
  return {
    consumer,
    perSecond: of(({ perSecond }) => perSecond),
    shareOfRaw: median(shares),
    atOnceMax: Math.max(...own.map(({ atOnceMax }) => atOnceMax)),
    cpuMicros: of(({ cpuMicros }) => cpuMicros),
    residentMiB: of(({ residentMiB }) => residentMiB),
    disordered: own.reduce((sum, { disordered }) => sum + disordered, 0),
  }
}

function print(rows: readonly ReturnType<typeof rowOf>[]): void {
  console.log(
    '\n| consumer, handlers at once | events/s | × raw client | at once, most | CPU µs an event | resident MiB | out of order |',
  )
  console.log('|---|---|---|---|---|---|---|')
  for (const { consumer, perSecond, shareOfRaw, atOnceMax, cpuMicros, residentMiB, disordered } of rows) {
    const cells = [consumer, Math.round(perSecond), shareOfRaw.toFixed(2), atOnceMax, Math.round(cpuMicros)]
    console.log(`| ${[...cells, Math.round(residentMiB), disordered].join(' | ')} |`)
  }
}

import { loadavg } from 'node:os'
import { join } from 'node:path'
import { startKafka } from '../scripts/rig/kafka.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { confluent, kafkajs, type Peer } from './events/peers.ts'
import { LOADS, type LoadFigures } from './events/run-loads.ts'
import { createTopics } from './kafka-topics.ts'
import { describeMachine } from './machine.ts'
import { median } from './percentiles.ts'

export interface EventProducerOptions {
  readonly rounds: number
  readonly seconds: number
}

/**
 * The same events by createProducer and by clients of Kafka, in turn: each a process of its own, the first of a round
 * changing. True when createProducer publishes at least `SHARE_LEAST` of what the client below it does by itself.
 */
export async function eventProducer({ rounds, seconds }: EventProducerOptions): Promise<boolean> {
  const machine = describeMachine()
  const peers: Peer[] = [ours(FOREBAY, 'forebay-producer.ts'), ours(RAW, 'platformatic-producer.ts'), await kafkajs()]
  console.log("building Confluent's client takes some minutes when it is not there")
  const confluents = await confluent()
  if (typeof confluents === 'string') console.log(confluents)
  else peers.push(confluents)

  await using kafka = await startKafka()
  const samples: Sample[] = []
  for (let round = 0; round <= rounds; round++) {
    const first = round % peers.length
    for (const peer of [...peers.slice(first), ...peers.slice(0, first)]) {
      const topic = `orders-${round}-${peers.indexOf(peer)}`
      await createTopics(kafka.bootstrap, { [topic]: PARTITIONS })
      const figures = await measure(peer, kafka.bootstrap, topic, round === 0 ? WARM_UP_S : seconds)
      // The first to meet a Kafka just started would pay for its Java machine getting warm.
      if (round === 0) continue
      const loadAverage = loadavg()[0]!
      for (const one of figures) samples.push({ round, client: peer.name, loadAverage, ...one })
      const told = figures.map(({ load, perSecond }) => `${load} ${Math.round(perSecond)}/s`)
      console.log(`round ${round}  ${peer.name.padEnd(38)} ${told.join('   ')}  load ${loadAverage.toFixed(1)}`)
    }
  }
  const rows = rowsOf(samples, peers)
  print(rows)
  await store('event-producer', { machine, rounds, seconds, rows, samples })
  return rows.every(({ client, shareOfRaw }) => client !== FOREBAY || shareOfRaw >= SHARE_LEAST)
}

const FOREBAY = 'createProducer'
const RAW = '@platformatic/kafka'
const SHARE_LEAST = 0.9
const PARTITIONS = 8
const WARM_UP_S = 0.3

function ours(name: string, file: string): Peer {
  return { name, command: process.execPath, file: join(import.meta.dirname, 'events', file), args: [], env: {} }
}

interface Sample extends LoadFigures {
  readonly round: number
  readonly client: string
  readonly loadAverage: number
}

async function measure(peer: Peer, bootstrap: string, topic: string, seconds: number): Promise<readonly LoadFigures[]> {
  await using client = startProcess({
    name: peer.name,
    command: peer.command,
    args: [peer.file, bootstrap, topic, String(seconds), ...peer.args],
    env: peer.env,
  })
  const [, json] = await client.line(/FIGURES (\[.*\])/, 60_000)
  return JSON.parse(json!) as LoadFigures[]
}

/** Medians over the rounds; the share is the median of the rounds' own ratios. */
function rowsOf(samples: readonly Sample[], peers: readonly Peer[]) {
  return LOADS.flatMap(({ name: load }) =>
    peers.map(({ name: client }) => {
      const own = samples.filter((sample) => sample.load === load && sample.client === client)
      const raw = samples.filter((sample) => sample.load === load && sample.client === RAW)
      const shares = own.map(({ round, perSecond }) => perSecond / raw.find((one) => one.round === round)!.perSecond)
      const of = (figure: (sample: Sample) => number) => median(own.map(figure))
      return {
        load,
        client,
        perSecond: of(({ perSecond }) => perSecond),
        p50Ms: of(({ p50Ms }) => p50Ms),
        p99Ms: of(({ p99Ms }) => p99Ms),
        cpuMicros: of(({ cpuMicros }) => cpuMicros),
        residentMiB: of(({ residentMiB }) => residentMiB),
        shareOfRaw: median(shares),
      }
    }),
  )
}

function print(rows: ReturnType<typeof rowsOf>): void {
  console.log(
    '\n| load | client | events/s | × raw client | p50 · p99 of a call, ms | CPU µs an event | resident MiB |',
  )
  console.log('|---|---|---|---|---|---|---|')
  for (const { load, client, perSecond, shareOfRaw, p50Ms, p99Ms, cpuMicros, residentMiB } of rows) {
    const latency = `${p50Ms.toFixed(1)} · ${p99Ms.toFixed(1)}`
    const cells = [load, client, Math.round(perSecond), shareOfRaw.toFixed(2), latency, Math.round(cpuMicros)]
    console.log(`| ${[...cells, Math.round(residentMiB)].join(' | ')} |`)
  }
}

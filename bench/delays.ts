import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { startForebay } from '../e2e/forebay.ts'
import { startKafka } from '../scripts/rig/kafka.ts'
import { startPostgres } from '../scripts/rig/postgres.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'

export interface DelaysOptions {
  /** 'kafka' has PostgreSQL as its store: delayed tasks wait there. */
  readonly broker: 'embedded' | 'kafka'
  readonly tasks: number
}

/**
 * Hands in so many tasks that are due within the same minute, spread evenly over it, and looks how late each begins.
 * True when none began early and each began.
 */
export async function delays({ broker, tasks }: DelaysOptions): Promise<boolean> {
  const machine = describeMachine()
  await using kafka = broker === 'kafka' ? await startKafka() : null
  await using postgres = broker === 'kafka' ? await startPostgres() : null
  const place = kafka === null ? {} : { broker: `kafka://${kafka.bootstrap}`, store: postgres!.url }
  await using forebay = await startForebay({ config: { ...place, queues: { [QUEUE]: {} } } })
  await using worker = startProcess({
    name: 'worker',
    command: process.execPath,
    args: [WORKER, forebay.grpc, QUEUE, String(tasks)],
  })
  await worker.line(/ready/)

  const handInMs = (tasks / HAND_IN_PER_S) * 1000
  const dueFromMs = Date.now() + handInMs
  const began = performance.now()
  await handIn(forebay.url, tasks, dueFromMs)
  const handedInS = (performance.now() - began) / 1000
  console.log(`${tasks} tasks handed in within ${handedInS.toFixed(1)} s (${Math.round(tasks / handedInS)}/s)`)
  if (Date.now() > dueFromMs) console.log('handing in took longer than planned: the first were due meanwhile')
  const [, json] = await worker.line(/FIGURES (\{.*\})/, handInMs + 10 * MINUTE_MS)
  const figures = JSON.parse(json!) as Figures
  console.log(
    `began: ${figures.early} early, p50 ${figures.p50Ms} ms late, p99 ${figures.p99Ms} ms, at most ${figures.maxMs} ms;` +
      ` ${Math.round(figures.perSecond)}/s over ${figures.seconds.toFixed(1)} s; ${figures.twice} ran twice`,
  )
  await store(`delays-${broker}`, { machine, tasks, handedInS, figures })
  return figures.early === 0
}

interface Figures {
  readonly early: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly seconds: number
  readonly perSecond: number
  readonly twice: number
}

const QUEUE = 'delays'
const MINUTE_MS = 60_000
/** Slow enough that all are handed in before the first is due. */
const HAND_IN_PER_S = 1_500
const CONNECTIONS = 64
const WORKER = fileURLToPath(new URL('subjects/delay-worker.ts', import.meta.url))

async function handIn(url: string, tasks: number, dueFromMs: number): Promise<void> {
  const pool = new Pool(url, { connections: CONNECTIONS })
  let next = 0
  const lane = async () => {
    while (next < tasks) {
      const dueMs = Math.floor(dueFromMs + (next++ * MINUTE_MS) / tasks)
      const headers = { 'content-type': 'text/plain', 'forebay-not-before': new Date(dueMs).toISOString() }
      const path = `/v1/queues/${QUEUE}/tasks`
      const { statusCode, body } = await pool.request({ method: 'POST', path, headers, body: String(dueMs) })
      const text = await body.text()
      if (statusCode !== 202) throw new Error(`the gateway answered ${statusCode}: ${text}`)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, lane))
  await pool.close()
}

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openPlace, type Place } from '../e2e/doors/place.ts'
import { READ_DOORS } from '../e2e/doors/read-doors.ts'
import { startReceiver } from '../e2e/doors/receiver.ts'
import { SUBMIT_DOORS } from '../e2e/doors/submit-doors.ts'
import { startForebay } from '../e2e/forebay.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'
import { type Percentiles, percentilesOf } from './percentiles.ts'

export interface DoorsOptions {
  readonly seconds: number
}

/** Submits so many tasks a second and takes each answer by one door: how long the answer was on its way from the worker. */
export async function doors({ seconds }: DoorsOptions): Promise<boolean> {
  const machine = describeMachine()
  await using receiver = await startReceiver(SECRET)
  const config = {
    queues: { [QUEUE]: { concurrency: 10_000 } },
    webhooks: {
      secrets: [SECRET],
      allow: ['127.0.0.1'],
      ports: [Number(new URL(receiver.url).port)],
      concurrency: 256,
      perHost: 256,
    },
  }
  await using forebay = await startForebay({ config })
  await using worker = startProcess({
    name: 'worker',
    command: process.execPath,
    args: [WORKER, forebay.grpc, QUEUE],
  })
  await worker.line(/ready/)
  using place = openPlace({ http: forebay.url, grpc: forebay.grpc })
  const figures: Figures[] = []
  for (const perSecond of RATES) {
    for (const door of Object.keys(DOORS)) {
      const measured = await measure(door, perSecond, seconds, () => DOORS[door]!(place, receiver))
      figures.push(measured)
      console.log(
        `${String(perSecond).padStart(5)}/s  ${door.padEnd(20)} p50 ${measured.p50Ms.toFixed(1)} ms  p99 ${measured.p99Ms.toFixed(1)} ms  ${measured.failed} failed`,
      )
    }
  }
  await store('doors', { machine, seconds, figures })
  return figures.every(({ failed }) => failed === 0)
}

const QUEUE = 'doors'
const RATES = [1, 100, 1_000]
/** So long the worker waits before it answers: the reader is there by then. */
const WORK_MS = 100
const SECRET = `whsec_${Buffer.from('a secret of the doors run, 32 by').toString('base64')}`
const WORKER = fileURLToPath(new URL('subjects/talking-worker.ts', import.meta.url))

type Receiver = Awaited<ReturnType<typeof startReceiver>>
/** Resolves with the answer, as soon as it is there. */
type Door = (place: Place, receiver: Receiver) => Promise<string>

const DOORS: Readonly<Record<string, Door>> = {
  'POST and wait': (place) => submitted(place, 'POST and wait'),
  'gRPC SubmitAndWait': (place) => submitted(place, 'gRPC SubmitAndWait'),
  'GET result': (place) => read(place, 'GET result'),
  SSE: (place) => read(place, 'SSE'),
  'gRPC Get': (place) => read(place, 'gRPC Get'),
  'gRPC Watch': (place) => read(place, 'gRPC Watch'),
  'WebSocket watch': (place) => read(place, 'WebSocket watch'),
  webhook: async (place, receiver) => {
    const { taskId } = await SUBMIT_DOORS.POST!(place, { ...wish(), callback: receiver.url })
    return receiver.called(taskId!)
  },
}

function wish() {
  return { queue: QUEUE, key: null, body: `${WORK_MS} 0`, idempotencyKey: randomUUID(), callback: null }
}

async function submitted(place: Place, door: string): Promise<string> {
  const { answer, code } = await SUBMIT_DOORS[door]!(place, wish())
  if (answer === null) throw new Error(code)
  return answer
}

async function read(place: Place, door: string): Promise<string> {
  const { taskId, code } = await SUBMIT_DOORS.POST!(place, wish())
  if (taskId === null) throw new Error(code)
  return (await READ_DOORS[door]!(place, taskId)).answer
}

interface Figures extends Percentiles {
  readonly door: string
  readonly perSecond: number
  readonly count: number
  readonly failed: number
}

async function measure(
  door: string,
  perSecond: number,
  seconds: number,
  once: () => Promise<string>,
): Promise<Figures> {
  const count = Math.max(TASKS_LEAST, perSecond * seconds)
  const lateMs: number[] = []
  let failed = 0
  const began = performance.now()
  const all = Array.from({ length: count }, async (_, number) => {
    await sleep(Math.max(0, (number * 1_000) / perSecond - (performance.now() - began)))
    try {
      const stamp = BigInt(await once())
      lateMs.push(Number(process.hrtime.bigint() - stamp) / 1e6)
    } catch {
      failed++
    }
  })
  await Promise.all(all)
  return { door, perSecond, count, failed, ...percentilesOf(lateMs) }
}
const TASKS_LEAST = 10

import { fileURLToPath } from 'node:url'
import { startForebay } from '../e2e/forebay.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'
import { comparePair, type Side } from './pair.ts'

/**
 * What the policies of a queue cost: round trips with everything on beside those of a queue that names nothing but its
 * order. True when the throughput stays above `SHARE_LEAST` of it.
 */
export async function promisesCost(options: { readonly rounds: number; readonly seconds: number }): Promise<boolean> {
  const machine = describeMachine()
  await using plain = await startSubject('plain', PLAIN)
  await using whole = await startSubject('everything on', WHOLE)
  const { ratio, samples } = await comparePair(plain, whole, { ...options, connections: 64, keys: 200 })
  console.log(`throughput with everything on: ${ratio.toFixed(2)} of the plain queue's (goal ${SHARE_LEAST})`)
  await store('promises', { machine, plain: PLAIN, whole: WHOLE, ratio, samples })
  return ratio >= SHARE_LEAST
}

const SHARE_LEAST = 0.9
const QUEUE = 'bench'
const WORKER = fileURLToPath(new URL('subjects/forebay-worker.ts', import.meta.url))
const PLAIN = { order: 'none', breaker: 'off', retry: { budget: 0 } }
const WHOLE = {
  order: 'key',
  rate: '1000000/s',
  fairness: 'key',
  breaker: { failureShare: 0.5 },
  retry: { attempts: 5, within: '10m', budget: 0.1 },
  onExhausted: 'park',
}

async function startSubject(name: string, queue: object): Promise<Side & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const forebay = stack.use(await startForebay({ config: { queues: { [QUEUE]: queue } } }))
  const args = [WORKER, forebay.grpc, QUEUE]
  const worker = stack.use(startProcess({ name: 'worker', command: process.execPath, args }))
  await worker.line(/ready/)
  const started = stack.move()
  return {
    name,
    url: `${forebay.url}/v1/queues/${QUEUE}/tasks`,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

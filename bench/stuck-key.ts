import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { startForebay } from '../e2e/forebay.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'
import { comparePair, type Side } from './pair.ts'
import { residentBytes } from './process-figures.ts'

export interface StuckKeyOptions {
  readonly rounds: number
  readonly seconds: number
  /** Tasks that stand behind the stuck one. */
  readonly behind: number
}

/**
 * Round trips of 200 keys, with and without one key that is parked and has a long line behind it: two servers, measured
 * in turn. True when the others keep `SHARE_LEAST` of their throughput. Then the line is made longer, for its memory.
 */
export async function stuckKey({ rounds, seconds, behind }: StuckKeyOptions): Promise<boolean> {
  const machine = describeMachine()
  await using free = await startSubject('none parked')
  await using stuck = await startSubject('one parked')
  await park(stuck.url, behind)
  const pair = { rounds, seconds, connections: 64, keys: 200 }
  const { ratio: share, samples } = await comparePair(free, stuck, pair)
  console.log(`throughput of the other keys: ${share.toFixed(2)} of that without a parked key (goal ${SHARE_LEAST})`)
  const line = await lengthen(stuck, behind)
  await store('stuck-key', { machine, behind, share, samples, line })
  return share >= SHARE_LEAST
}

const SHARE_LEAST = 0.9
const QUEUE = 'bench'
const WORKER = fileURLToPath(new URL('subjects/stuck-worker.ts', import.meta.url))

interface Subject extends AsyncDisposable, Side {
  readonly pid: number
}

/** Makes the line longer, a part at a time, and looks at the memory of the server after each. */
async function lengthen({ url, pid }: Subject, behind: number): Promise<object[]> {
  const points: object[] = []
  for (let part = 1; part <= PARTS; part++) {
    await park(url, behind)
    const tasks = (part + 1) * behind
    const residentMiB = residentBytes(pid) / 2 ** 20
    points.push({ tasks, residentMiB })
    console.log(`${String(tasks).padStart(7)} behind the parked one: ${residentMiB.toFixed(1)} MiB resident`)
  }
  return points
}
const PARTS = 5

async function startSubject(name: string): Promise<Subject> {
  await using stack = new AsyncDisposableStack()
  // The stuck one fails at once, and its next attempt is an hour away.
  const queue = { order: 'key', retry: { backoff: '1h', backoffMax: '1h', within: '24h', jitter: 'none' } }
  const forebay = stack.use(await startForebay({ config: { queues: { [QUEUE]: queue } } }))
  const worker = stack.use(
    startProcess({ name: 'worker', command: process.execPath, args: [WORKER, forebay.grpc, QUEUE] }),
  )
  await worker.line(/ready/)
  const started = stack.move()
  return {
    name,
    url: `${forebay.url}/v1/queues/${QUEUE}/tasks`,
    pid: forebay.rig.pid,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

/** Hands in so many more of one key, and waits until all of them are parked. */
async function park(url: string, count: number): Promise<void> {
  const { origin, pathname } = new URL(url)
  const pool = new Pool(origin, { connections: 16 })
  const parked = async () => {
    const { body } = await pool.request({ method: 'GET', path: `/v1/admin/parked?queue=${QUEUE}&limit=1` })
    return ((await body.json()) as { total: number }).total
  }
  const wanted = (await parked()) + count
  let left = count
  const lane = async () => {
    while (left-- > 0) {
      const headers = { 'forebay-key': 'stuck', 'content-type': 'text/plain' }
      const { statusCode, body } = await pool.request({ method: 'POST', path: pathname, headers, body: 'stuck' })
      if (statusCode !== 202) throw new Error(`the gateway answered ${statusCode}: ${await body.text()}`)
      await body.dump()
    }
  }
  await Promise.all(Array.from({ length: 16 }, lane))
  const giveUpAt = performance.now() + PARKED_WITHIN_MS
  while ((await parked()) < wanted) {
    if (performance.now() > giveUpAt) throw new Error(`only ${await parked()} of ${wanted} are parked`)
  }
  await pool.close()
}

const PARKED_WITHIN_MS = 60_000

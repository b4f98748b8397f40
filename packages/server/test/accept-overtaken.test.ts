import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Broker, PublishError, systemClock, systemRandom } from '@forebay/broker'
import { HELD_MS_MAX, HeldClaims, RENEW_EVERY_MS } from '../src/accept/held-claims.ts'
import type { WebhookOptions } from '../src/options.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import type { HeldClaim, Store } from '../src/store/store.ts'
import { newWebhookSecret } from '../src/webhooks/signature.ts'
import { type DoorsRig, type DoorsRigOptions, openDoorsRig } from './support/doors-rig.ts'

/**
 * A gateway that stands still between claim and append for so long that another takes its claim over, and then goes on as if
 * nothing had happened. Log, store and replies are real.
 */

const WEBHOOKS: WebhookOptions = {
  secrets: [newWebhookSecret(systemRandom)],
  principals: new Map(),
  ports: new Set([443]),
  allow: [],
  ca: null,
  dns: [],
  timeoutMs: 1_000,
  waitsMs: [],
  concurrency: 4,
  perHost: 4,
}

test('who comes late answers with the first result, whatever it hears first', async (t) => {
  const overtaken = await openOvertaken(t)
  const { slow, other, goOn } = overtaken
  const late = post(slow, 'wait=20')
  const taskId = await overtake(overtaken)
  await other.end(taskId, succeeded('first'))
  assert.equal(await resultAt(other, taskId), 'first')
  goOn()
  while ((await other.kept('orders')) < 2) await sleep(5)
  await other.end(taskId, succeeded('second'))
  const answer = await late
  assert.deepEqual([answer.status, await answer.text()], [200, 'first'])
  assert.equal(answer.headers.get('forebay-task'), taskId)
  assert.equal(answer.headers.get('idempotent-replayed'), 'true', 'another request had made it')
  const again = await post(slow)
  assert.deepEqual([again.status, again.headers.get('location')], [202, `/v1/tasks/${taskId}`])
})

test('who comes late and is refused by the log neither says "nothing was kept", nor frees the key, nor forgets the callback', async (t) => {
  const publish: Broker['publish'] = async (records) => {
    const cause = new Error('the log is away')
    throw new PublishError(
      cause.message,
      records.map((_, index) => ({ index, outcome: 'refused', cause })),
    )
  }
  const refused = (broker: Broker) => instead(broker, { publish })
  const overtaken = await openOvertaken(t, { wrapBroker: refused })
  const { slow, other, goOn } = overtaken
  const late = post(slow)
  const taskId = await overtake(overtaken)
  goOn()
  const answer = await late
  const { code, task } = (await answer.json()) as { code: string; task: string }
  assert.deepEqual([answer.status, code, task], [503, 'OUTCOME_UNKNOWN', taskId])
  const callbacks = await other.store.callbacks!.list({})
  assert.deepEqual(
    callbacks.map((one) => one.taskId),
    [taskId],
  )
  const again = await post(other)
  assert.deepEqual([again.status, again.headers.get('location')], [202, `/v1/tasks/${taskId}`])
  assert.equal(await other.kept('orders'), 1)
})

test('claims are renewed while they are held, not before and not after', async () => {
  const clock = new ManualClock()
  const renewed: HeldClaim[] = []
  let failing = false
  const store = {
    async renew(claim: HeldClaim) {
      renewed.push(claim)
      if (failing) throw new Error('the store is away')
    },
  }
  const rig = await openDoorsRig()
  const held = new HeldClaims({ store, clock, telemetry: rig.telemetry })
  await rig.stop()
  const [one, two] = ['a', 'b'].map((key) => ({ principal: 'ann', route: 'orders', key, taskId: `task-${key}` }))
  held.hold(one!)
  held.letGo(one!)
  assert.equal(clock.pending, 0)
  held.hold(one!)
  held.hold(two!)
  assert.deepEqual(renewed, [])
  clock.advance(RENEW_EVERY_MS)
  assert.deepEqual(renewed.splice(0), [one, two])
  await sleep(0)
  held.letGo(two!)
  failing = true
  clock.advance(RENEW_EVERY_MS)
  await sleep(0)
  clock.advance(RENEW_EVERY_MS)
  assert.deepEqual(renewed.splice(0), [one, one], 'it goes on trying')
  clock.advance(HELD_MS_MAX)
  await sleep(0)
  renewed.splice(0)
  clock.advance(RENEW_EVERY_MS)
  assert.deepEqual([renewed, clock.pending], [[], 0], 'what hangs for ever is let go')
})

let aheadMs = 0

interface Overtaken {
  /** Stands still when it has a claim, until `goOn`. */
  readonly slow: DoorsRig
  readonly other: DoorsRig
  readonly claimed: Promise<void>
  goOn(): void
}

async function openOvertaken(t: TestContext, faults: DoorsRigOptions = {}): Promise<Overtaken> {
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const storeDir = await mkdtemp(join(tmpdir(), 'forebay-store-'))
  const store = embeddedStore({ dir: storeDir, retentionMs: 86_400_000, clock })
  await store.open()
  const claimed = Promise.withResolvers<void>()
  const paused = Promise.withResolvers<void>()
  const still = (real: Store) => {
    const reserve: Store['reserve'] = async (claim) => {
      const reservation = await real.reserve(claim)
      claimed.resolve()
      await paused.promise
      return reservation
    }
    return instead(real, { reserve })
  }
  const other = await openDoorsRig({ sharedStore: store, webhooks: WEBHOOKS })
  const slow = await openDoorsRig({
    sharedStore: store,
    shared: other,
    wrapStore: still,
    webhooks: WEBHOOKS,
    ...faults,
  })
  t.after(async () => {
    paused.resolve()
    await slow.stop()
    await other.stop()
    await store.close()
    await rm(storeDir, { recursive: true })
  })
  return { slow, other, claimed: claimed.promise, goOn: () => paused.resolve() }
}

/** The same request at the other gateway, when the claim's time is over; the task's id. */
async function overtake({ other, claimed }: Overtaken): Promise<string> {
  await claimed
  assert.equal((await post(other)).status, 409)
  aheadMs += 60_000
  const response = await post(other)
  assert.equal(response.status, 202)
  return ((await response.json()) as { id: string }).id
}

function post(rig: DoorsRig, prefer?: string): Promise<Response> {
  const headers = {
    'idempotency-key': 'one',
    'content-type': 'text/plain',
    'forebay-callback': 'https://h.example.com/x',
  }
  return fetch(`${rig.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    body: 'work',
    headers: prefer === undefined ? headers : { ...headers, prefer },
  })
}

async function resultAt(rig: DoorsRig, taskId: string): Promise<string> {
  for (;;) {
    const response = await fetch(`${rig.url}/v1/tasks/${taskId}/result`)
    if (response.status === 200) return response.text()
    await sleep(5)
  }
}

function succeeded(body: string) {
  return { state: 'succeeded', payload: Buffer.from(body), contentType: 'text/plain' } as const
}

/** The real one, but for these methods. */
function instead<Real extends object>(real: Real, methods: Partial<Real>): Real {
  return new Proxy(real, {
    get(target, name) {
      const value: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

import { AT_ONCE } from '../packages/server/src/accept/timing.ts'
import type { Wish } from './parts/caller.ts'
import type { Script, Step } from './parts/workers.ts'
import type { SeededRandom } from './random.ts'

const KEYS = ['ada', 'bob', 'eve', null] as const
/** The one with the most rules is asked the most. */
const QUEUES = ['orders', 'orders', 'orders', 'orders', 'orders', 'orders', 'mails', 'mails', 'mails', 'bills'] as const
const PRINCIPALS = ['anna', 'otto'] as const
/** Of wishes that reuse the idempotency key of the one before them. */
const REUSE_SHARE = 0.15

/** What a caller wants, in the order in which it asks. `delays`: there is a place where delayed tasks can wait. */
export function wishesOf(caller: string, count: number, delays: boolean, random: SeededRandom): Wish[] {
  const wishes: Wish[] = []
  for (let nth = 0; nth < count; nth++) {
    const fresh = wish(`${caller}.${nth}`, delays, random)
    const before = wishes.at(-1)
    wishes.push(before?.idempotencyKey && random.chance(REUSE_SHARE) ? reusing(before, fresh, random) : fresh)
  }
  return wishes
}

function wish(name: string, delays: boolean, random: SeededRandom): Wish {
  return {
    principal: random.pick(PRINCIPALS),
    queue: random.pick(QUEUES),
    key: random.pick(KEYS),
    idempotencyKey: random.chance(0.7) ? `key-of-${name}` : null,
    payload: payloadOf(name, random),
    timing: timingOf(delays, random),
    waitMs: random.chance(0.5) ? random.whole(50, 9_000) : 0,
    cancelAfterMs: random.chance(0.15) ? random.skewed(0, 4_000) : null,
  }
}

/** The same key once more: by another caller, for another queue, or for something else, which must be refused. */
function reusing(before: Wish, fresh: Wish, random: SeededRandom): Wish {
  const { idempotencyKey, principal, queue } = before
  switch (random.pick(['caller', 'queue', 'body'] as const)) {
    case 'caller':
      return { ...fresh, idempotencyKey, queue, principal: PRINCIPALS.find((one) => one !== principal)! }
    case 'queue':
      return { ...fresh, idempotencyKey, principal, queue: queue === 'mails' ? 'orders' : 'mails' }
    case 'body':
      return { ...fresh, idempotencyKey, principal, queue, key: before.key, timing: before.timing }
  }
}

function timingOf(delays: boolean, random: SeededRandom): Wish['timing'] {
  if (random.chance(0.08)) return { ...AT_ONCE, budgetMs: random.whole(2, 15) * 1_000 }
  if (!delays || !random.chance(0.12)) return AT_ONCE
  const delayMs = random.whole(500, 20_000)
  return { ...AT_ONCE, delayMs, budgetMs: random.chance(0.2) ? delayMs + random.whole(1, 9) * 1_000 : null }
}

function payloadOf(request: string, random: SeededRandom): Uint8Array {
  return Buffer.from(JSON.stringify({ request, steps: stepsOf(random) } satisfies Script))
}

function stepsOf(random: SeededRandom): Step[] {
  const steps: Step[] = []
  if (random.chance(HOPELESS_SHARE)) {
    for (let nth = 0; nth < HOPELESS_STEPS; nth++) steps.push({ act: 'retry', tookMs: random.skewed(1, 100) })
    return steps
  }
  for (let nth = 0; nth < 3 && random.chance(0.4); nth++) steps.push(stepOf(random))
  return steps
}

/** Of tasks that fail however often they are tried. */
const HOPELESS_SHARE = 0.05
const HOPELESS_STEPS = 40

function stepOf(random: SeededRandom): Step {
  const tookMs = random.skewed(1, 900)
  const act = random.pick(ACTS)
  if (act === 'dawdle') return { act, tookMs: random.between(4_000, 12_000) }
  if (act === 'succeed') return { act, tookMs: random.between(500, 3_500) }
  if (act === 'retry' && random.chance(0.5))
    return { act, tookMs, retryAfterMs: random.pick([random.whole(50, 3_000), random.whole(5_000, 12_000)]) }
  return { act, tookMs }
}

const ACTS: readonly Step['act'][] = [
  'retry',
  'retry',
  'retry',
  'retry',
  'refuse',
  'give-up',
  'vanish',
  'dawdle',
  'succeed',
  'succeed',
]

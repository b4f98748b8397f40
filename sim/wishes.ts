import { AT_ONCE } from '../packages/server/src/accept/timing.ts'
import type { Wish } from './parts/caller.ts'
import type { Script, Step } from './parts/workers.ts'
import type { SeededRandom } from './random.ts'

const KEYS = ['ada', 'bob', 'eve', null] as const
const PRINCIPALS = ['anna', 'otto'] as const

/** What a caller wants, in the order in which it asks. */
export function wishesOf(caller: string, count: number, random: SeededRandom): Wish[] {
  return Array.from({ length: count }, (_, index) => wish(`${caller}.${index}`, random))
}

function wish(name: string, random: SeededRandom): Wish {
  const script: Script = { request: name, steps: stepsOf(random) }
  return {
    name,
    principal: random.pick(PRINCIPALS),
    queue: random.chance(0.7) ? 'orders' : 'mails',
    key: random.pick(KEYS),
    idempotencyKey: random.chance(0.7) ? `key-of-${name}` : null,
    payload: Buffer.from(JSON.stringify(script)),
    timing: timingOf(random),
    waitMs: random.chance(0.5) ? random.whole(50, 9_000) : 0,
    cancelAfterMs: random.chance(0.08) ? random.skewed(0, 3_000) : null,
  }
}

function timingOf(random: SeededRandom): Wish['timing'] {
  return random.chance(0.08) ? { ...AT_ONCE, budgetMs: random.whole(2, 15) * 1_000 } : AT_ONCE
}

function stepsOf(random: SeededRandom): Step[] {
  const steps: Step[] = []
  for (let nth = 0; nth < 3 && random.chance(0.35); nth++) steps.push(stepOf(random))
  return steps
}

function stepOf(random: SeededRandom): Step {
  const tookMs = random.skewed(1, 900)
  const act = random.pick(ACTS)
  if (act === 'dawdle') return { act, tookMs: random.between(4_000, 12_000) }
  if (act === 'retry' && random.chance(0.5)) return { act, tookMs, retryAfterMs: random.whole(50, 3_000) }
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
]

import { check } from '../history/check.ts'
import { type History, isEnd, type Violation } from '../history/history.ts'
import { eventsOf, lifeOf } from '../history/select.ts'
import { wreak } from './faults.ts'
import { Caller } from './parts/caller.ts'
import { Operator } from './parts/operator.ts'
import { QUEUE_RULES } from './queues.ts'
import { SeededRandom } from './random.ts'
import { wishesOf } from './wishes.ts'
import { shapeOf, World } from './world.ts'

export interface RunReport {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly history: History
  readonly covered: ReadonlyMap<string, number>
  /** Nothing was at stake: no process was lost, no outcome unknown, no execution repeated. */
  readonly inconclusive: boolean
  readonly steps: number
  readonly simulatedMs: number
}

const CALLERS = 8
const WISHES_EACH = 7
const CALM_MS = 2_000
const FAULTS_MS = 32_000
/** So long some more is asked for after everything is whole again. */
const RECOVERY_MS = 20_000
/** After everything is whole again, all must have come to an end by then. */
const DRAIN_MS = 600_000
const LOOK_EVERY_MS = 500
const FINAL_READ_MS = 120_000

/** One whole run: calm, then faults under load, then everything whole until nothing is open, then the last reads. */
export async function runSeed(seed: number): Promise<RunReport> {
  const shape = shapeOf(new SeededRandom(seed).stream('shape'))
  const { sharedStore } = shape
  const world = new World(seed, shape)
  const { journal, schedule, onBroken } = world
  process.on('unhandledRejection', onBroken)
  try {
    await live(world, sharedStore)
  } finally {
    world.close()
    // What the crash of the last processes rejects still belongs to this run.
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', onBroken)
  }
  const history: History = { queues: QUEUE_RULES, sharedStore, events: journal.events }
  return {
    seed,
    violations: check(history),
    history,
    covered: journal.covered,
    inconclusive: isInconclusive(history),
    steps: schedule.steps,
    simulatedMs: schedule.nowMs,
  }
}

async function live(world: World, sharedStore: boolean): Promise<void> {
  const { journal, schedule, random, gateways, onBroken } = world
  journal.write('run', { type: 'phase', phase: 'calm' })
  const callers = Array.from({ length: CALLERS }, (_, index) => {
    const name = `caller-${index + 1}`
    return new Caller({ name, schedule, random: random.stream(name), journal, gateways, onBroken, sharedStore })
  })
  const redrivesUntilMs = CALM_MS + FAULTS_MS + RECOVERY_MS
  const operator = { schedule, random: random.stream('operator'), journal, gateways, onBroken, redrivesUntilMs }
  new Operator(operator).begin()
  let busy = callers.length
  for (const [index, caller] of callers.entries()) {
    void ask(world, caller, `caller-${index + 1}`, sharedStore).then(() => {
      busy--
    })
  }
  await schedule.run(CALM_MS)
  journal.write('run', { type: 'phase', phase: 'faults' })
  wreak(world, CALM_MS + FAULTS_MS)
  await schedule.run(CALM_MS + FAULTS_MS)
  journal.write('run', { type: 'phase', phase: 'healed' })
  const rested = () => schedule.nowMs > redrivesUntilMs && busy === 0 && nothingOpen(world)
  const quiet = await until(world, schedule.nowMs + DRAIN_MS, rested)
  journal.write('run', { type: 'phase', phase: quiet ? 'quiet' : 'stuck' })
  await readAll(world, callers)
  journal.write('run', { type: 'phase', phase: 'end' })
}

async function ask({ random, schedule }: World, caller: Caller, name: string, delays: boolean): Promise<void> {
  const own = random.stream(`wishes of ${name}`)
  const pending: Promise<void>[] = []
  for (const wish of wishesOf(name, WISHES_EACH, delays, own)) {
    await new Promise<void>((resolve) => {
      schedule.in(own.between(10, (2 * (CALM_MS + FAULTS_MS + RECOVERY_MS)) / WISHES_EACH), resolve)
    })
    pending.push(caller.want(wish))
  }
  await Promise.all(pending)
}

async function until({ schedule }: World, latestMs: number, holds: () => boolean): Promise<boolean> {
  while (schedule.nowMs < latestMs) {
    if (holds()) return true
    await schedule.run(schedule.nowMs + LOOK_EVERY_MS)
  }
  return holds()
}

function nothingOpen({ journal }: World): boolean {
  const ended = new Set<string>()
  const open = new Set<string>()
  for (const event of journal.events) {
    if (event.type === 'log.task') open.add(lifeOf(event))
    else if (event.type === 'log.result') ended.add(lifeOf(event))
  }
  return [...open].every((life) => ended.has(life))
}

/** Every caller asks every gateway, for as long as it takes to be told the end. */
async function readAll(world: World, callers: readonly Caller[]): Promise<void> {
  const { schedule, gateways } = world
  const latestMs = schedule.nowMs + FINAL_READ_MS
  let reading = 0
  for (const caller of callers) {
    for (const [taskId, { principal }] of caller.taskIds) {
      for (const gateway of gateways) {
        reading++
        void (async () => {
          while (schedule.nowMs < latestMs) {
            const last = schedule.nowMs + 10_000 >= latestMs
            const state = await caller.read(gateway, taskId, principal, 0, last)
            if (last || (state !== null && isEnd(state))) break
            await caller.sleep(1_000)
          }
          await caller.read(gateway, taskId, principal, 0, true)
          reading--
        })()
      }
    }
  }
  await until(world, latestMs + 60_000, () => reading === 0)
}

function isInconclusive(history: History): boolean {
  const executions = Map.groupBy(eventsOf(history, 'exec.start'), (start) => start.taskId)
  const again = [...executions.values()].some((starts) => starts.length > 1)
  const unsure = eventsOf(history, 'submit.unknown').length > 0
  return !again || !unsure || eventsOf(history, 'process.crash').length === 0
}

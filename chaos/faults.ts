import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { Journal } from './journal.ts'

/** Something that goes wrong with a real part, and its end. */
interface Fault {
  readonly name: string
  /** How often it is drawn, against the others. */
  readonly weight: number
  /** Faults of one group never overlap: two of three brokers down is more than `replicated` promises to survive. */
  readonly group: string
  /** Begins, and resolves when it has ended and been mended. */
  run(cluster: Cluster, dice: Dice): Promise<void>
}

const killed = async (part: { kill9(): Promise<void>; start(): Promise<void> }, awayMs: number) => {
  await part.kill9()
  await sleep(awayMs)
  await part.start()
}

const paused = async (part: { signal(signal: NodeJS.Signals): void }, forMs: number) => {
  part.signal('SIGSTOP')
  await sleep(forMs)
  part.signal('SIGCONT')
}

/** Longer than the group's session: when it wakes up, somebody else owns what it held. */
export const PAUSE_MS = 14_000

const FAULTS: readonly Fault[] = [
  {
    name: 'kill worker',
    weight: 6,
    group: 'worker',
    run: ({ workers }, dice) => killed(dice.pick(workers), dice.below(1_000)),
  },
  {
    name: 'pause worker',
    weight: 2,
    group: 'worker',
    run: ({ workers }, dice) => paused(dice.pick(workers), 2_000 + dice.below(8_000)),
  },
  {
    name: 'kill dispatcher',
    weight: 4,
    group: 'dispatcher',
    run: ({ dispatchers }, dice) => killed(dice.pick(dispatchers), dice.below(3_000)),
  },
  {
    name: 'pause dispatcher',
    weight: 3,
    group: 'dispatcher',
    run: ({ dispatchers }, dice) => paused(dice.pick(dispatchers), PAUSE_MS),
  },
  {
    name: 'kill gateway',
    weight: 3,
    group: 'gateway',
    run: ({ gateways }, dice) => killed(dice.pick(gateways), dice.below(2_000)),
  },
  {
    name: 'pause gateway',
    weight: 1,
    group: 'gateway',
    run: ({ gateways }, dice) => paused(dice.pick(gateways), 3_000 + dice.below(9_000)),
  },
  {
    name: 'kill broker',
    weight: 2,
    group: 'kafka',
    async run({ kafka }, dice) {
      await kafka.kill(dice.below(3))
      await sleep(dice.below(4_000))
      await kafka.restart()
      await sleep(BROKER_SETTLES_MS)
    },
  },
  {
    name: 'pause broker',
    weight: 1,
    group: 'kafka',
    async run({ kafka }, dice) {
      const index = dice.below(3)
      kafka.pause(index)
      await sleep(4_000 + dice.below(10_000))
      kafka.resume(index)
      await sleep(BROKER_SETTLES_MS)
    },
  },
  {
    name: 'kill postgres',
    weight: 2,
    group: 'postgres',
    run: ({ postgres }, dice) => killed(postgres, dice.below(4_000)),
  },
  {
    name: 'pause postgres',
    weight: 1,
    group: 'postgres',
    async run({ postgres }, dice) {
      await postgres.pause()
      await sleep(2_000 + dice.below(10_000))
      await postgres.resume()
    },
  },
]

/** A broker that is back must be in sync again before another one may go. */
const BROKER_SETTLES_MS = 6_000

export interface Nemesis {
  /** How often each fault ran. */
  readonly done: ReadonlyMap<string, number>
  /** Resolves when the last fault has been mended. */
  readonly ended: Promise<void>
}

/** Draws faults until the signal; as many at once as there are groups. */
export function startNemesis(
  cluster: Cluster,
  options: {
    readonly everyMs: number
    readonly dice: Dice
    readonly journal: Journal
    readonly signal: AbortSignal
    readonly say: (line: string) => void
  },
): Nemesis {
  const { everyMs, dice, journal, signal, say } = options
  const done = new Map<string, number>()
  const busy = new Set<string>()
  const running = new Set<Promise<void>>()
  const begin = (fault: Fault) => {
    busy.add(fault.group)
    journal.note({ type: 'fault.begin', fault: fault.name, target: fault.group }, 'nemesis')
    say(fault.name)
    const run = fault.run(cluster, dice).then(() => {
      journal.note({ type: 'fault.end', fault: fault.name, target: fault.group }, 'nemesis')
      done.set(fault.name, (done.get(fault.name) ?? 0) + 1)
      busy.delete(fault.group)
      running.delete(run)
    })
    running.add(run)
  }
  const ended = (async () => {
    while (!signal.aborted) {
      const free = FAULTS.filter((fault) => !busy.has(fault.group))
      if (free.length > 0) begin(draw(free, dice))
      await sleep(everyMs / 2 + dice.below(everyMs), undefined, { signal }).catch(() => {})
    }
    await Promise.all(running)
  })()
  return { done, ended }
}

function draw(faults: readonly Fault[], dice: Dice): Fault {
  let left = dice.below(faults.reduce((sum, fault) => sum + fault.weight, 0))
  for (const fault of faults) {
    left -= fault.weight
    if (left < 0) return fault
  }
  return faults[0]!
}

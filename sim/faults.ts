import type { SeededRandom } from './random.ts'
import type { World } from './world.ts'

/** One way in which things go wrong. */
interface Fault {
  readonly name: string
  readonly weight: number
  /** Returns what was hit, and how it ends. */
  begin(world: World, random: SeededRandom): { readonly target: string; readonly forMs: number; end(): void }
}

const NEXT_MS_MAX = 6_000

/** Lets one fault after another happen, often several at a time, until `untilMs`; then everything is whole again. */
export function wreak(world: World, untilMs: number): void {
  const random = world.random.stream('faults')
  const endings = new Set<() => void>()
  const next = () => {
    if (world.schedule.nowMs >= untilMs) return
    const fault = pickOf(random)
    const begun = fault.begin(world, random)
    world.journal.cover(`fault ${fault.name} × ${begun.target.replace(/-\d+$/, '')}`)
    world.journal.write('faults', { type: 'fault.begin', fault: fault.name, target: begun.target })
    const end = () => {
      if (!endings.delete(end)) return
      begun.end()
      world.journal.write('faults', { type: 'fault.end', fault: fault.name, target: begun.target })
    }
    endings.add(end)
    world.schedule.in(begun.forMs, end)
    world.schedule.in(random.skewed(50, NEXT_MS_MAX), next)
  }
  next()
  world.schedule.at(untilMs, () => {
    for (const end of [...endings]) end()
    world.weather.heal()
    for (const node of world.nodes) node.revive()
  })
}

const FAULTS: readonly Fault[] = [
  {
    name: 'crash',
    weight: 6,
    begin(world, random) {
      const node = random.pick(world.nodes)
      const forMs = random.skewed(20, 9_000)
      node.crash(forMs)
      return { target: node.name, forMs, end: () => {} }
    },
  },
  {
    name: 'stop',
    weight: 2,
    begin(world, random) {
      const node = random.pick(world.nodes)
      node.stop(random.pick([0, 200, 5_000]), random.skewed(20, 4_000))
      return { target: node.name, forMs: 0, end: () => {} }
    },
  },
  {
    name: 'pause',
    weight: 4,
    begin(world, random) {
      const node = random.pick(world.nodes)
      const { process } = node
      process.pause(false)
      return { target: node.name, forMs: random.skewed(100, 14_000), end: () => process.resume() }
    },
  },
  {
    name: 'suspend',
    weight: 4,
    begin(world, random) {
      const node = random.pick(world.nodes)
      const { process } = node
      process.pause(true)
      return { target: node.name, forMs: random.between(3_000, 14_000), end: () => process.resume() }
    },
  },
  {
    name: 'clock',
    weight: 2,
    begin(world, random) {
      const node = random.pick(world.nodes)
      const byMs = random.pick([-3_600_000, -40_000, -1_500, 1_500, 40_000, 3_600_000])
      node.process.jumpClock(byMs)
      return { target: node.name, forMs: 0, end: () => {} }
    },
  },
  {
    name: 'publish',
    weight: 4,
    begin(world, random) {
      world.weather.publishTrouble = random.between(0.1, 0.7)
      return knob('log', random.skewed(200, 6_000), () => {
        world.weather.publishTrouble = 0
      })
    },
  },
  {
    name: 'twice',
    weight: 1,
    begin(world, random) {
      world.weather.publishTwice = random.between(0.1, 0.5)
      return knob('log', random.skewed(500, 6_000), () => {
        world.weather.publishTwice = 0
      })
    },
  },
  {
    name: 'outage',
    weight: 2,
    begin(world, random) {
      world.weather.logDown = true
      return knob('log', random.skewed(100, 6_000), () => {
        world.weather.logDown = false
      })
    },
  },
  {
    name: 'lag',
    weight: 2,
    begin(world, random) {
      world.weather.lagMs = random.skewed(50, 4_000)
      return knob('log', random.skewed(500, 6_000), () => {
        world.weather.lagMs = 0
      })
    },
  },
  {
    name: 'slow',
    weight: 1,
    begin(world, random) {
      world.weather.slowMs = random.skewed(20, 600)
      return knob('network', random.skewed(500, 6_000), () => {
        world.weather.slowMs = 0
      })
    },
  },
  {
    name: 'expel',
    weight: 3,
    begin(world, random) {
      const node = random.pick(world.dispatchers)
      world.log.coordinator.expel(node.process)
      return { target: node.name, forMs: 0, end: () => {} }
    },
  },
  {
    name: 'cut-off',
    weight: 2,
    begin(world, random) {
      const { name, process } = random.pick(world.dispatchers)
      world.weather.cutOff.add(process.name)
      return {
        target: name,
        forMs: random.skewed(500, 12_000),
        end: () => world.weather.cutOff.delete(process.name),
      }
    },
  },
  {
    name: 'store-down',
    weight: 2,
    begin(world, random) {
      world.weather.storeDown = true
      return knob('store', random.skewed(100, 6_000), () => {
        world.weather.storeDown = false
      })
    },
  },
  {
    name: 'store-trouble',
    weight: 3,
    begin(world, random) {
      world.weather.storeTrouble = random.between(0.1, 0.6)
      return knob('store', random.skewed(500, 6_000), () => {
        world.weather.storeTrouble = 0
      })
    },
  },
]

function knob(target: string, forMs: number, end: () => void) {
  return { target, forMs, end }
}

const WEIGHTS = FAULTS.reduce((sum, { weight }) => sum + weight, 0)

function pickOf(random: SeededRandom): Fault {
  let at = random.between(0, WEIGHTS)
  for (const fault of FAULTS) {
    at -= fault.weight
    if (at < 0) return fault
  }
  return FAULTS[0]!
}

import { Journal } from './journal.ts'
import { SimBroker, type SimBrokerOptions } from './log/broker.ts'
import { SimLog } from './log/log.ts'
import { SimDispatcher } from './parts/dispatcher.ts'
import { SimGateway } from './parts/gateway.ts'
import { SimNode } from './parts/node.ts'
import { Workers } from './parts/workers.ts'
import { type SimProcess, WALL_START_MS } from './process.ts'
import { RULES } from './queues.ts'
import { SeededRandom } from './random.ts'
import { Schedule } from './schedule.ts'
import { StorePlace } from './store/place.ts'
import { Weather } from './weather.ts'

/** What differs from run to run beside chance. */
export interface WorldShape {
  /** One store for all gateways, as PostgreSQL is; otherwise a file for each. */
  readonly sharedStore: boolean
  /** For how long a claim of an idempotency key counts that is not renewed. */
  readonly claimMs: number
  readonly broker: SimBrokerOptions
}

export function shapeOf(random: SeededRandom): WorldShape {
  const broker = {
    publishTimeoutMs: 3_000,
    // What was settled in between comes again after a crash.
    commitIntervalMs: random.pick([200, 1_000, 3_000]),
    // A parked task may become due while nobody has its partition.
    sessionTimeoutMs: random.pick([3_000, 9_000]),
  }
  const sharedStore = random.chance(0.6)
  // Sooner than any renewal, so that claims of the living are taken over too; or as a store that gateways share has it.
  return { sharedStore, claimMs: random.pick([400, 5_000]), broker }
}

const GATEWAYS = 2
const DISPATCHERS = 2

/** Everything that a run is made of. */
export class World {
  /** Somebody came upon something that nobody had expected. */
  readonly onBroken: (error: unknown) => void
  readonly random: SeededRandom
  readonly schedule: Schedule
  readonly journal: Journal
  readonly weather: Weather
  readonly log: SimLog
  readonly store: StorePlace
  readonly workers: Workers
  readonly gateways: readonly SimNode<SimGateway>[]
  readonly dispatchers: readonly SimNode<SimDispatcher>[]

  constructor(seed: number, shape: WorldShape) {
    this.onBroken = (error) => {
      const text = error instanceof Error ? `${error.message} ${error.stack?.split('\n')[1]?.trim()}` : String(error)
      this.journal.write('world', { type: 'process.broke', error: text.replaceAll(import.meta.dirname, 'sim') })
    }
    this.random = new SeededRandom(seed)
    const { random } = this
    this.schedule = new Schedule(random.stream('order'))
    const { schedule } = this
    this.journal = new Journal(schedule)
    const { journal } = this
    this.weather = new Weather(random.stream('weather'), (fate) => journal.cover(fate))
    const { weather } = this
    const wallMs = () => Math.floor(WALL_START_MS + schedule.nowMs)
    this.log = new SimLog({
      schedule,
      random: random.stream('log'),
      weather,
      journal,
      rules: RULES,
      wallMs,
      gapShare: 0.03,
    })
    this.store = new StorePlace({ schedule, weather, journal, shared: shape.sharedStore, claimMs: shape.claimMs })
    this.workers = new Workers(schedule, random.stream('workers'), journal)
    const brokerOf = (process: SimProcess) => new SimBroker(this.log, process, shape.broker)
    this.gateways = named('gateway', GATEWAYS).map(
      (name) =>
        new SimNode(name, 'gateway', this, (process) => {
          return new SimGateway(process, brokerOf(process), this.store.connect(process, name))
        }),
    )
    this.dispatchers = named('dispatcher', DISPATCHERS).map(
      (name) =>
        new SimNode(name, 'dispatcher', this, (process) => {
          return new SimDispatcher(process, brokerOf(process), this.store.connect(process, name), this.workers, journal)
        }),
    )
  }

  get nodes(): readonly SimNode<SimGateway | SimDispatcher>[] {
    return [...this.gateways, ...this.dispatchers] as SimNode<SimGateway | SimDispatcher>[]
  }

  close(): void {
    for (const { process } of this.nodes) process.crash()
    this.store.close()
  }
}

function named(role: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${role}-${index + 1}`)
}

import { ForebayError } from '@forebay/protocol'
import type { Journal } from '../journal.ts'
import type { SeededRandom } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import type { SimGateway } from './gateway.ts'
import type { SimNode } from './node.ts'

export interface OperatorParts {
  readonly schedule: Schedule
  readonly random: SeededRandom
  readonly journal: Journal
  readonly gateways: readonly SimNode<SimGateway>[]
  readonly onBroken: (error: unknown) => void
  /** Later than this nothing gets another life. ms */
  readonly redrivesUntilMs: number
}

const LOOK_EVERY_MS = 2_500
const REDRIVES_MAX = 6

/** Looks after what is parked for good and after what died, through whichever gateway answers. */
export class Operator {
  readonly #parts: OperatorParts
  #redrives = 0

  constructor(parts: OperatorParts) {
    this.#parts = parts
  }

  begin(): void {
    const { schedule, random, gateways, onBroken } = this.#parts
    schedule.in(LOOK_EVERY_MS * (0.5 + random.unit()), () => {
      const { process, program } = random.pick(gateways)
      if (process.alive && program.ready) {
        process.deliver(() => {
          this.#act(process.name, program).catch((thrown: unknown) => {
            // What cannot be reached now is tried again at another look.
            if (!(thrown instanceof ForebayError)) onBroken(thrown)
          })
        })
      }
      this.begin()
    })
  }

  async #act(by: string, gateway: SimGateway): Promise<void> {
    const { random, journal, schedule, redrivesUntilMs } = this.#parts
    if (schedule.nowMs < redrivesUntilMs && this.#redrives < REDRIVES_MAX && random.chance(0.2)) {
      this.#redrives++
      const count = await gateway.redrive(random.whole(1, 3))
      if (count > 0) journal.cover('redriven')
      journal.write(by, { type: 'operator.redrive', count })
    }
    const { parking } = gateway
    if (parking === null) return
    const { rows } = await parking.list({ reason: 'exhausted', limit: 20 })
    for (const { queue, taskId } of rows) {
      const wish = random.pick(['retry', 'release', 'skip', 'skip'] as const)
      journal.write(by, { type: 'operator.wish', taskId, wish })
      journal.cover(`wish ${wish} ${await parking.wish(queue, taskId, wish)}`)
    }
  }
}

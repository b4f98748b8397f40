import type { Broker, Clock, Random } from '@forebay/broker'
import type { Logger } from 'pino'
import type { Cancellation } from '../control.ts'
import type { Finisher } from '../finish/finisher.ts'
import type { QueueOptions } from '../options.ts'
import type { Parking, TakenRow } from '../store/parking.ts'
import type { QueueMeters } from '../telemetry.ts'
import type { Cancellations } from './cancellations.ts'
import { CancelledRows } from './cancelled-rows.ts'
import { DueRows } from './due-rows.ts'
import type { Entry } from './entry.ts'
import { ParkedLines } from './parked-lines.ts'
import { PartitionParking, type ToPark } from './partition-parking.ts'
import type { PartitionWindow } from './partition-window.ts'
import type { ReadTask } from './read-task.ts'
import { RedeliveryGuard } from './redelivery-guard.ts'
import { type Schedules, startSchedules } from './schedules.ts'
import type { TaskRoad } from './task-road.ts'
import { Unparking } from './unparking.ts'

export interface ParkedWorkDependencies {
  readonly parking: Parking
  readonly broker: Broker
  readonly queue: QueueOptions
  readonly group: string
  readonly readTask: ReadTask
  readonly partitions: number
  readonly lanes: number
  readonly finisher: Finisher
  readonly cancellations: Cancellations
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly meters: QueueMeters
  readonly road: TaskRoad
  windows(): Iterable<PartitionWindow>
  idle(): void
}

/** A queue's tasks outside the log: owns them with each partition, keeps what is parked, and takes what is due. */
export class ParkedWork {
  readonly #dependencies: ParkedWorkDependencies
  readonly #unparking: Unparking
  readonly #due: DueRows
  readonly #cancelled: CancelledRows
  #schedules: Schedules | null = null
  #stopping = false

  constructor(dependencies: ParkedWorkDependencies) {
    const { road, queue, meters } = dependencies
    this.#dependencies = dependencies
    this.#unparking = new Unparking(dependencies, road)
    this.#due = new DueRows({
      ...dependencies,
      queue: queue.name,
      onDue: (window, rows, asOf) => this.#unparking.onDue(window, rows, asOf),
      onLine: (window, key, line) => this.#unparking.onLine(window, key, line),
    })
    this.#cancelled = new CancelledRows({
      ...dependencies,
      onDropped: (count) => {
        meters.unparked(count)
        this.#due.expectIn(0)
      },
    })
  }

  /** Nothing is on its way into the store, or from it into the log. */
  get idle(): boolean {
    for (const { parked } of this.#dependencies.windows()) if (parked?.store.writing) return false
    return this.#unparking.underWay === 0
  }

  /** What is delivered is kept back until it is known which keys are parked: only then comes `known`. */
  assigned(window: PartitionWindow, known: () => void): void {
    const { queue } = this.#dependencies
    const { partition, lost } = window
    const events = {
      owned: (lines: readonly string[]) => {
        parked.found(lines)
        this.#due.expectIn(0)
      },
      parked: (parks: readonly ToPark[]) => this.#parked(window, parks),
      removed: (count: number) => this.#removed(count),
      handedAgain: (rows: readonly TakenRow[]) => this.#unparking.onHandedAgain(window, rows),
      idle: () => this.#dependencies.idle(),
    }
    const store = new PartitionParking({ ...this.#dependencies, queue: queue.name }, partition, lost, events)
    const guard = new RedeliveryGuard(this.#dependencies.clock, {
      release: (key, held) => {
        if (held.length > 0) parked.giveBack(key, held)
        if (!window.has(key)) this.askLine(window, key)
      },
      busy: () => store.writing || window.isFull,
      askPosition: () => void this.#findCommitted(window, guard),
    })
    const parked = new ParkedLines(store, guard)
    window.parked = parked
    void this.#findCommitted(window, guard)
    window.early = []
    void store.own().then(() => {
      if (lost.aborted || this.#stopping) return
      known()
      // Whoever owns the first partition fires for the whole queue.
      if (partition !== 0) return
      this.#schedules = startSchedules({ ...this.#dependencies, ownership: store, lost })
    })
  }

  askLine(window: PartitionWindow, key: string): void {
    const parked = window.parked!
    const held = parked.guard.letGo(key)
    if (held.length > 0) parked.giveBack(key, held)
    this.#due.askLine(window, key)
  }

  cancel(cancelled: readonly Cancellation[]): void {
    this.#cancelled.add(cancelled.map((one) => one.taskId))
  }

  /** Takes no more rows and fires no more; what is being written goes on until the partitions are lost. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelled.stop()
    this.#schedules?.stop()
    await Promise.all([this.#due.stop(), this.#schedules?.ended])
  }

  /** Where the log goes on from: all before is finished for good. */
  async #findCommitted({ partition, lost }: PartitionWindow, guard: RedeliveryGuard): Promise<void> {
    const { broker, queue, group, log } = this.#dependencies
    try {
      const states = await broker.inspect({ topics: [queue.topic], group })
      const committed = states.find((one) => one.partition === partition)?.committed ?? null
      if (committed !== null && !lost.aborted) guard.raise(committed)
    } catch (error) {
      log.debug({ err: error, queue: queue.name, partition }, 'the stored position is not known; parked lines wait')
    }
  }

  /** The store has them: the log need not (P5). */
  #parked(window: PartitionWindow, parks: readonly ToPark[]): void {
    const { clock, meters } = this.#dependencies
    let count = 0
    let nextMs = Number.POSITIVE_INFINITY
    for (const { entry, reason, dueMs } of parks) {
      if (dueMs !== null && dueMs < nextMs) nextMs = dueMs
      // Those behind wait for the same reason as their head, which says it for them.
      if (reason !== 'behind') this.#note(entry)
      if (entry.delivery === null) continue
      window.settle(entry.delivery, entry.task)
      count++
    }
    if (count > 0) meters.parked(count)
    this.#due.written()
    if (nextMs < Number.POSITIVE_INFINITY) this.#due.expectIn(nextMs - clock.monotonicMs())
  }

  #removed(count: number): void {
    this.#dependencies.meters.unparked(count)
    this.#due.written()
  }

  #note({ task, attempts, fault }: Entry): void {
    const { finisher, clock } = this.#dependencies
    const { id: taskId, queue, owner, lane, generation } = task
    const note = { taskId, queue, owner, state: 'parked', attempts, generation, atMs: clock.wallMs(), fault } as const
    finisher.note(note, lane)
  }
}

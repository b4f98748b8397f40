import type {
  AssignedPartition,
  Batch,
  Broker,
  Clock,
  ConsumeRequest,
  Delivery,
  Random,
  Subscription,
} from '@forebay/broker'
import type { Logger } from 'pino'
import type { Target } from '../execute/target.ts'
import type { Finisher } from '../finish/finisher.ts'
import { type Running, STOP_GRACE_MS_DEFAULT, type StopOptions, type StopReport } from '../lifecycle.ts'
import type { QueueOptions } from '../options.ts'
import type { Parking } from '../store/parking.ts'
import type { QueueMeters } from '../telemetry.ts'
import { dispatchGroup } from '../topics.ts'
import type { Cancellations } from './cancellations.ts'
import { type Entry, entryOfDelivery } from './entry.ts'
import { flowOf } from './flow-of.ts'
import { HeadBlock } from './head-block.ts'
import { ParkedWork } from './parked-work.ts'
import { PartitionWindow } from './partition-window.ts'
import { type ReadTask, taskReader } from './read-task.ts'
import { TaskRoad } from './task-road.ts'
import { WINDOW_BYTES_MAX, WINDOW_RECORDS_MAX } from './window-limits.ts'

export interface DispatcherDependencies {
  readonly queue: QueueOptions
  readonly broker: Broker
  readonly target: Target
  readonly finisher: Finisher
  readonly cancellations: Cancellations
  /** Where tasks wait that have to wait long; null: everything waits in the window. */
  readonly parking: Parking | null
  /** Partitions of the queue's topic: limits are shared by how many of them a dispatcher owns. */
  readonly partitions: number
  /** Partitions of the results topic. */
  readonly lanes: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly meters: QueueMeters
  /** The consumer group that keeps the positions. Default: that of the queue's name. */
  readonly group?: string
  /** Where a group begins that is new. Default: at the earliest record. */
  readonly from?: NonNullable<ConsumeRequest['from']>
  /** What a record of the topic asks for. Default: the task that it is. */
  readonly readTask?: ReadTask
}

export interface QueueDispatcher extends Running {
  /** Tasks that are delivered and not settled. */
  readonly unfinished: number
  /** Parked tasks that are taken from their parking place and not finished. */
  readonly rowsInHand: number
}

/**
 * Takes the tasks of one queue from the log, hands them to its target as attempts, and settles each when its result, or
 * its parking, is durable.
 *
 * Attempts are counted in memory, and in what is parked: a task whose dispatcher died while it was in the window starts
 * again at 1.
 */
export async function startQueueDispatcher(dependencies: DispatcherDependencies): Promise<QueueDispatcher> {
  const dispatcher = new Dispatcher(dependencies)
  await dispatcher.start()
  return dispatcher
}

class Dispatcher implements QueueDispatcher {
  readonly stopped: Promise<StopReport>
  readonly #dependencies: DispatcherDependencies
  readonly #group: string
  readonly #readTask: ReadTask
  readonly #windows = new Map<AbortSignal, PartitionWindow>()
  readonly #road: TaskRoad
  readonly #parkedWork: ParkedWork | null
  readonly #headBlock: HeadBlock
  #subscription: Subscription | null = null
  #intakeEnded: Promise<void> = Promise.resolve()
  #unsubscribe: () => void = () => {}
  #sweepTimer: { cancel(): void } | null = null
  #stopping = false
  #graceEnd: AbortController | null = null
  #idle: (() => void) | null = null
  #resolveStopped: (report: StopReport) => void = () => {}

  constructor(dependencies: DispatcherDependencies) {
    const { parking, queue } = dependencies
    this.#dependencies = dependencies
    const group = dependencies.group ?? dispatchGroup(queue.name)
    const readTask = dependencies.readTask ?? taskReader(queue, dependencies.lanes)
    this.#group = group
    this.#readTask = readTask
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
    this.#road = new TaskRoad(dependencies, {
      askLine: (window, key) => this.#parkedWork?.askLine(window, key),
      idle: () => this.#wakeIdle(),
    })
    const windows = () => this.#windows.values()
    this.#parkedWork =
      parking === null
        ? null
        : new ParkedWork({
            ...dependencies,
            parking,
            group,
            readTask,
            windows,
            road: this.#road,
            idle: () => this.#wakeIdle(),
          })
    const park = (entry: Entry, dueMs: number) => this.#road.park(entry, 'blocking', dueMs)
    this.#headBlock = new HeadBlock({ ...dependencies, queue: queue.name, park })
  }

  async start(): Promise<void> {
    const { broker, queue, cancellations, from = 'earliest' } = this.#dependencies
    this.#unsubscribe = cancellations.subscribe(queue.name, (cancelled) => {
      this.#road.cancel(this.#windows.values())
      this.#parkedWork?.cancel(cancelled)
    })
    try {
      this.#subscription = await broker.consume({
        topics: [queue.topic],
        group: this.#group,
        from,
        windowRecords: WINDOW_RECORDS_MAX,
        windowBytes: WINDOW_BYTES_MAX,
        onAssigned: (assigned) => this.#assigned(assigned),
      })
    } catch (error) {
      this.#unsubscribe()
      await this.#parkedWork?.stop()
      throw error
    }
    this.#intakeEnded = this.#intake(this.#subscription)
    this.#scheduleSweep()
  }

  get unfinished(): number {
    let count = 0
    for (const window of this.#windows.values()) count += window.unfinished
    return count
  }

  get rowsInHand(): number {
    let count = 0
    for (const { parked } of this.#windows.values()) count += parked?.store.inHand ?? 0
    return count
  }

  async stop(options: StopOptions = {}): Promise<StopReport> {
    const graceMs = options.graceMs ?? STOP_GRACE_MS_DEFAULT
    if (!this.#stopping) {
      this.#stopping = true
      this.#graceEnd = new AbortController()
      void this.#finishStopping(this.#graceEnd.signal)
    }
    this.#endGraceIn(graceMs)
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #assigned({ partition, lost }: AssignedPartition): void {
    const { queue } = this.#dependencies
    const width = queue.order === 'key' ? 1 : queue.perKey.concurrency
    const window = new PartitionWindow(partition, lost, width)
    this.#windows.set(lost, window)
    const drop = () => {
      this.#windows.delete(lost)
      window.drop()
      this.#shareLimits()
      this.#wakeIdle()
    }
    if (lost.aborted) drop()
    else lost.addEventListener('abort', drop, { once: true })
    this.#shareLimits()
    this.#parkedWork?.assigned(window, () => this.#take(window))
  }

  /** Limits of the whole queue are shared by the partitions that each dispatcher owns. */
  #shareLimits(): void {
    const owned = new Set([...this.#windows.values()].map((window) => window.partition))
    this.#road.gate.own(owned, this.#dependencies.partitions)
    this.#road.pump()
  }

  async #intake(subscription: Subscription): Promise<void> {
    for await (const batch of subscription) if (!this.#stopping) this.#received(batch)
  }

  #received({ deliveries }: Batch): void {
    const window = this.#windows.get(deliveries[0]!.lost)
    if (window === undefined) return
    if (window.early !== null) window.early.push(...deliveries)
    else this.#takeAll(window, deliveries)
  }

  /** Its parked tasks are known: what came before may be taken in. */
  #take(window: PartitionWindow): void {
    const early = window.early ?? []
    window.early = null
    if (!this.#stopping) this.#takeAll(window, early)
  }

  #takeAll(window: PartitionWindow, deliveries: readonly Delivery[]): void {
    const { queue } = this.#dependencies
    const faults: string[] = []
    for (const delivery of deliveries) {
      const task = this.#readTask(delivery.record, faults)
      const entry = entryOfDelivery(window, delivery, task, flowOf(queue.fairness, task))
      if (faults.length > 0) entry.poison = faults.splice(0).join(' ')
      this.#road.arrive(entry)
    }
    window.parked?.delivered(window.lastOffset + 1)
    this.#road.pump()
  }

  /** Twice a second. */
  #scheduleSweep(): void {
    this.#sweepTimer = this.#dependencies.clock.timer(SWEEP_MS, () => {
      this.#road.attempts.sweep()
      if (!this.#stopping) this.#headBlock.look(this.#windows.values(), this.#road.attempts.running)
      this.#scheduleSweep()
    })
  }

  #endGraceIn(graceMs: number): void {
    const graceEnd = this.#graceEnd!
    if (graceMs <= 0) {
      graceEnd.abort()
      return
    }
    const timer = this.#dependencies.clock.timer(graceMs, () => graceEnd.abort())
    void this.stopped.then(() => timer.cancel())
  }

  async #finishStopping(graceOver: AbortSignal): Promise<void> {
    this.#unsubscribe()
    this.#road.stop()
    const parkedWorkEnded = this.#parkedWork?.stop()
    await this.#whenIdle(graceOver)
    const left = [...this.#road.attempts.running].map(
      ({ task, attempts }) => `${task.queue} ${task.id}: attempt ${attempts} was running`,
    )
    this.#sweepTimer?.cancel()
    await this.#subscription?.close()
    await this.#intakeEnded
    await parkedWorkEnded
    for (const window of this.#windows.values()) window.drop()
    this.#windows.clear()
    this.#resolveStopped({ left })
  }

  #whenIdle(graceOver: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#idle = null
        graceOver.removeEventListener('abort', done)
        resolve()
      }
      if (graceOver.aborted) return resolve()
      graceOver.addEventListener('abort', done, { once: true })
      this.#idle = done
      this.#wakeIdle()
    })
  }

  #wakeIdle(): void {
    if (this.#idle === null || this.#road.attempts.running.size > 0 || this.#road.endings.underWay > 0) return
    if (this.#parkedWork === null || this.#parkedWork.idle) this.#idle()
  }
}

const SWEEP_MS = 500

import {
  type Backoff,
  type Broker,
  backoffMs,
  type Clock,
  PublishError,
  partitionOf,
  type Random,
} from '@forebay/broker'
import type { Logger } from 'pino'
import { type CronTimes, cronTimes } from '../cron.ts'
import { isoTime } from '../iso-time.ts'
import type { QueueOptions, ScheduleOptions } from '../options.ts'
import { SCHEDULE_OWNER, taskRecord } from '../records.ts'
import type { Owned, Parking } from '../store/parking.ts'
import { PLAIN_TASK, type Task } from '../task.ts'
import { type Due, dueFires, MISSED_MAX } from './due-fires.ts'

export interface SchedulesParts {
  readonly queue: QueueOptions
  /** Of the queue's topic. */
  readonly partitions: number
  /** Partitions of the results topic. */
  readonly lanes: number
  readonly broker: Pick<Broker, 'publish'>
  readonly parking: Pick<Parking, 'lastFired' | 'fired'>
  /** The queue's partition 0; `PartitionParking` is one. */
  readonly ownership: Ownership
  /** Of the assignment of partition 0. */
  readonly lost: AbortSignal
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export interface Ownership {
  /** Runs `act` until it succeeds, owning again where it has to; null when the partition is lost. */
  underEpoch<Done>(act: (owned: Owned) => Promise<Done>, what: string): Promise<Done | null>
}

export interface Schedules {
  /** No fire begins any more. They also end by themselves when the partition is lost. */
  stop(): void
  /** Resolves when nothing of them runs: after `stop`, or the loss, what is being written may finish first. */
  readonly ended: Promise<void>
}

/**
 * The schedules of one queue. For the dispatcher: call it when the queue's partition 0 is assigned (only its owner
 * fires) and its parked tasks can be owned, with that assignment's `lost`; call `stop` at the begin of a stop, and
 * await `ended` after the subscription is closed. A queue without schedules costs nothing.
 *
 * A fire is a task like any other: published to the queue's topic with an id that follows from the schedule and the
 * time, and only then noted as fired. Whoever takes over between the two publishes it again under the same id, so its
 * first result stands. Fires go by the wall clock: after a jump ahead those that it passed over count as missed; after
 * a jump back nothing fires until the clock is past the last fire again.
 */
export function startSchedules(parts: SchedulesParts): Schedules {
  const stopped = new AbortController()
  const over = AbortSignal.any([parts.lost, stopped.signal])
  const running = parts.queue.schedule.map((schedule) => new RunningSchedule(parts, schedule, over).run())
  return {
    stop: () => stopped.abort(),
    ended: Promise.all(running).then(() => {}),
  }
}

class RunningSchedule {
  readonly #parts: SchedulesParts
  readonly #schedule: ScheduleOptions
  readonly #times: CronTimes
  readonly #over: AbortSignal
  readonly #log: Logger

  constructor(parts: SchedulesParts, schedule: ScheduleOptions, over: AbortSignal) {
    this.#parts = parts
    this.#schedule = schedule
    this.#times = cronTimes(schedule.cron, schedule.timeZone)
    this.#over = over
    this.#log = parts.log.child({ queue: parts.queue.name, schedule: schedule.name })
  }

  async run(): Promise<void> {
    const { clock } = this.#parts
    let lastMs = await this.#lastFired()
    while (lastMs !== null) {
      const nextMs = this.#times.nextAfter(lastMs)
      if (nextMs === null || !(await this.#until(nextMs))) return
      const due = dueFires(this.#times, this.#schedule.missed, lastMs, clock.wallMs())
      this.#report(due)
      if (!(await this.#publish(due.fires))) return
      lastMs = await this.#fired(due.latestMs)
    }
  }

  /** Where it never fired it begins now: so a fire that comes while no dispatcher runs will have been missed. */
  async #lastFired(): Promise<number | null> {
    const { ownership, parking, queue, clock } = this.#parts
    const read = async () => ({ atMs: await parking.lastFired(queue.name, this.#schedule.name) })
    const found = await ownership.underEpoch(read, 'reading when a schedule fired last')
    if (found === null || this.#over.aborted) return null
    if (found.atMs === null) return this.#fired(clock.wallMs())
    const aheadMs = found.atMs - clock.wallMs()
    if (aheadMs > AHEAD_MS) {
      const message = 'a schedule fired last in the future: it will not fire until the clock has come there'
      this.#log.warn({ lastFired: isoTime(found.atMs) }, message)
    }
    return found.atMs
  }

  /** Null when the partition is lost or this is stopped. */
  async #fired(atMs: number): Promise<number | null> {
    const { ownership, parking } = this.#parts
    const write = async (owned: Owned) => {
      await parking.fired(owned, this.#schedule.name, atMs)
      return true
    }
    const done = await ownership.underEpoch(write, 'noting that a schedule has fired')
    return done === null || this.#over.aborted ? null : atMs
  }

  /** True when the wall clock has come to `atMs`; it is asked every few seconds, as it may jump. */
  async #until(atMs: number): Promise<boolean> {
    const { clock } = this.#parts
    while (!this.#over.aborted) {
      const leftMs = atMs - clock.wallMs()
      if (leftMs <= 0) return true
      await clock.sleep(Math.min(leftMs, LOOK_AGAIN_MS), this.#over).catch(() => {})
    }
    return false
  }

  #report({ fires, missed }: Due): void {
    if (missed === 0) return
    const many = missed > MISSED_MAX ? `more than ${MISSED_MAX}` : missed
    this.#log.warn(
      { missed: many, made: fires.length, policy: this.#schedule.missed },
      'fires of a schedule were missed',
    )
  }

  /** Tries until all are in the log; false when it is over first. */
  async #publish(fires: readonly number[]): Promise<boolean> {
    const { broker, clock, random } = this.#parts
    let left = fires.map((atMs) => this.#recordOf(atMs))
    for (let failures = 0; left.length > 0; ) {
      if (this.#over.aborted) return false
      const batch = left.slice(0, PUBLISHED_AT_ONCE)
      try {
        await broker.publish(batch)
        left = left.slice(batch.length)
      } catch (error) {
        const missing = error instanceof PublishError ? error.failed.map((one) => batch[one.index]!) : batch
        left = [...missing, ...left.slice(batch.length)]
        const level = failures === 0 ? 'warn' : 'debug'
        this.#log[level]({ err: error }, 'the log did not take the task of a schedule; trying on')
        await clock.sleep(backoffMs(RETRY, failures++, random), this.#over).catch(() => {})
      }
    }
    return true
  }

  #recordOf(atMs: number) {
    const { queue, partitions, lanes, clock } = this.#parts
    const { name, key, body, contentType } = this.#schedule
    const id = `schedule:${queue.name}:${name}:${isoTime(atMs)}`
    // Both follow from schedule and time: a second record of a fire must meet the first one's result.
    const partition = partitionOf(Buffer.from(key ?? id), partitions)
    const task: Task = {
      id,
      queue: queue.name,
      key,
      payload: body,
      contentType,
      headers: [],
      owner: SCHEDULE_OWNER,
      lane: partition % lanes,
      acceptedAtMs: clock.wallMs(),
      budgetMs: queue.deadlineMs,
      ...PLAIN_TASK,
    }
    return taskRecord(task, queue.topic, partition)
  }
}

const RETRY: Backoff = { firstMs: 100, maxMs: 10_000 }
/** How soon a jump of the wall clock is noticed. */
const LOOK_AGAIN_MS = 10_000
/** A last fire further ahead than this is worth a warning. */
const AHEAD_MS = 60_000
const PUBLISHED_AT_ONCE = 50

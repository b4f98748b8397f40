import type { Broker, Clock, Delivery, Random, Subscription } from '@forebay/broker'
import type { Logger } from 'pino'
import type { Target } from '../execute/target.ts'
import type { Finisher } from '../finish/finisher.ts'
import { type Running, STOP_GRACE_MS_DEFAULT, type StopOptions, type StopReport } from '../lifecycle.ts'
import type { QueueOptions } from '../options.ts'
import { decodeTask } from '../records.ts'
import type { EndState, Fault, Outcome, Result, Task } from '../task.ts'
import type { QueueMeters } from '../telemetry.ts'
import { dispatchGroup } from '../topics.ts'
import { type Entry, PartitionWindow } from './partition-window.ts'
import { ReadyLine } from './ready-line.ts'
import { nextAttemptInMs } from './retry-policy.ts'

export interface DispatcherDependencies {
  readonly queue: QueueOptions
  readonly broker: Broker
  readonly target: Target
  readonly finisher: Finisher
  /** Partitions of the results topic. */
  readonly lanes: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly meters: QueueMeters
}

export interface QueueDispatcher extends Running {
  /** Tasks that are delivered and not settled. */
  readonly unfinished: number
}

/**
 * Takes the tasks of one queue from the log, hands them to its target as attempts, and settles each when its result
 * is durable. The steps of a task, downward: intake → ready → attempt → outcome → (backoff → ready) → finish → settle.
 *
 * Attempts are counted in memory here: a task whose dispatcher died starts again at 1.
 */
export async function startQueueDispatcher(dependencies: DispatcherDependencies): Promise<QueueDispatcher> {
  const subscription = await dependencies.broker.consume({
    topics: [dependencies.queue.topic],
    group: dispatchGroup(dependencies.queue.name),
    windowBytes: WINDOW_BYTES_MAX,
  })
  return new Dispatcher(dependencies, subscription)
}

/** Bytes of one partition's tasks that are delivered and not settled. */
const WINDOW_BYTES_MAX = 8 * 1024 * 1024
/** Attempts longer than this are reported as running; shorter ones would only cost. */
const RUNNING_NOTE_AFTER_MS = 1_000
const SWEEP_MS = 500
const FAULT_DETAIL_CHARS_MAX = 2_048

class Dispatcher implements QueueDispatcher {
  readonly stopped: Promise<StopReport>
  readonly #dependencies: DispatcherDependencies
  readonly #subscription: Subscription
  readonly #windows = new Map<AbortSignal, PartitionWindow>()
  readonly #ready = new ReadyLine<Entry>()
  readonly #running = new Set<Entry>()
  #finishing = 0
  /** Earliest deadline among what waits for capacity; wall ms. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY
  #stopping = false
  #graceEnd: AbortController | null = null
  #idle: (() => void) | null = null
  #resolveStopped: (report: StopReport) => void = () => {}
  readonly #intakeEnded: Promise<void>

  constructor(dependencies: DispatcherDependencies, subscription: Subscription) {
    this.#dependencies = dependencies
    this.#subscription = subscription
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
    dependencies.target.onCapacity = () => this.#pump()
    this.#intakeEnded = this.#intake()
    this.#scheduleSweep()
  }

  get unfinished(): number {
    let count = 0
    for (const window of this.#windows.values()) count += window.unfinished
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

  async #intake(): Promise<void> {
    for await (const batch of this.#subscription) {
      if (this.#stopping) continue
      for (const delivery of batch.deliveries) this.#take(delivery)
      this.#pump()
    }
  }

  #take(delivery: Delivery): void {
    const { queue, lanes } = this.#dependencies
    const window = this.#windowOf(delivery.lost)
    const task = decodeTask(delivery.record, { queue: queue.name, budgetMs: queue.deadlineMs, lanes })
    const entry: Entry = {
      delivery,
      task,
      window,
      attempts: 0,
      firstBegunMs: 0,
      begunMs: 0,
      noted: false,
      backoff: null,
    }
    if (window.enter(entry)) this.#makeReady(entry)
  }

  #windowOf(lost: AbortSignal): PartitionWindow {
    let window = this.#windows.get(lost)
    if (window === undefined) {
      const made = new PartitionWindow(lost, this.#dependencies.queue.order === 'key')
      this.#windows.set(lost, made)
      const drop = () => {
        made.drop()
        this.#windows.delete(lost)
        this.#wakeIdle()
      }
      if (lost.aborted) drop()
      else lost.addEventListener('abort', drop, { once: true })
      window = made
    }
    return window
  }

  #makeReady(entry: Entry): void {
    this.#ready.push(entry)
    const deadlineMs = entry.task.acceptedAtMs + entry.task.budgetMs
    if (deadlineMs < this.#nextDeadlineMs) this.#nextDeadlineMs = deadlineMs
  }

  #pump(): void {
    const { target, queue } = this.#dependencies
    while (!this.#stopping && this.#running.size < queue.concurrency && target.capacity > 0) {
      const entry = this.#ready.shift()
      if (entry === undefined) return
      if (!entry.window.lost.aborted) this.#begin(entry)
    }
  }

  #begin(entry: Entry): void {
    const { target, queue, clock, meters } = this.#dependencies
    if (entry.delivery.record.value === null) {
      const detail = 'The record has no value: there is nothing to do.'
      this.#end(entry, 'dead', { code: 'TASK_UNDECODABLE', detail })
      return
    }
    const budgetLeftMs = this.#budgetLeftMs(entry.task)
    if (budgetLeftMs <= 0) {
      this.#expire(entry)
      return
    }
    entry.attempts++
    entry.begunMs = clock.monotonicMs()
    if (entry.attempts === 1) entry.firstBegunMs = entry.begunMs
    entry.noted = false
    this.#running.add(entry)
    meters.attempted()
    meters.running(1)
    void target
      .run({
        task: entry.task,
        number: entry.attempts,
        timeoutMs: Math.min(queue.timeoutMs, budgetLeftMs),
        lost: entry.window.lost,
      })
      .then((outcome) => this.#onOutcome(entry, outcome))
  }

  #onOutcome(entry: Entry, outcome: Outcome): void {
    this.#running.delete(entry)
    this.#dependencies.meters.running(-1)
    if (!entry.window.lost.aborted) this.#conclude(entry, outcome)
    this.#pump()
    this.#wakeIdle()
  }

  #conclude(entry: Entry, outcome: Outcome): void {
    if (outcome.kind === 'succeeded') {
      void this.#finish(entry, { state: 'succeeded', payload: outcome.payload, contentType: outcome.contentType })
      return
    }
    const fault = faultOf(outcome, this.#dependencies.queue)
    if (outcome.kind === 'failed' && outcome.then !== 'retry') {
      this.#end(entry, outcome.then === 'final' ? 'failed' : 'dead', fault)
      return
    }
    const { queue, clock, random, finisher, meters } = this.#dependencies
    const budgetLeftMs = this.#budgetLeftMs(entry.task)
    if (budgetLeftMs <= 0) {
      this.#expire(entry)
      return
    }
    const delayMs = nextAttemptInMs(
      queue.retry,
      {
        attempts: entry.attempts,
        elapsedMs: clock.monotonicMs() - entry.firstBegunMs,
        budgetLeftMs,
        retryAfterMs: outcome.kind === 'failed' ? outcome.retryAfterMs : undefined,
      },
      random,
    )
    if (delayMs === null) {
      this.#end(entry, 'dead', fault)
      return
    }
    meters.retried()
    const { task } = entry
    finisher.note(
      {
        taskId: task.id,
        queue: task.queue,
        owner: task.owner,
        state: 'retrying',
        attempts: entry.attempts,
        generation: task.generation,
        atMs: clock.wallMs(),
        fault,
      },
      task.lane,
    )
    this.#retryIn(entry, delayMs)
  }

  /** A short backoff stays in the window: the key, if it has one, stays blocked behind it. */
  #retryIn(entry: Entry, delayMs: number): void {
    entry.window.waiting.add(entry)
    entry.backoff = this.#dependencies.clock.timer(delayMs, () => {
      entry.window.waiting.delete(entry)
      entry.backoff = null
      this.#makeReady(entry)
      this.#pump()
    })
  }

  #expire(entry: Entry): void {
    const detail = `The task's time of ${entry.task.budgetMs} ms passed before it was done.`
    this.#end(entry, 'expired', { code: 'TASK_EXPIRED', detail })
  }

  #end(entry: Entry, state: Exclude<EndState, 'succeeded'>, fault: Fault): void {
    void this.#finish(entry, { state, fault })
  }

  async #finish(entry: Entry, end: Result['end']): Promise<void> {
    const { finisher, clock, meters, log } = this.#dependencies
    const { task, delivery, window, attempts } = entry
    const atMs = clock.wallMs()
    const result: Result = {
      taskId: task.id,
      queue: task.queue,
      owner: task.owner,
      attempts,
      generation: task.generation,
      finishedAtMs: atMs,
      end,
    }
    const letter =
      end.state === 'dead'
        ? {
            record: delivery.record,
            taskId: task.id,
            queue: task.queue,
            attempts,
            state: end.state,
            fault: end.fault,
            atMs,
          }
        : null
    this.#finishing++
    const kept = await finisher.finish(result, task.lane, letter, window.lost)
    this.#finishing--
    if (kept && !window.lost.aborted) {
      delivery.settle()
      meters.finished(end.state, Math.max(0, atMs - task.acceptedAtMs) / 1000)
      if (end.state === 'dead') log.warn({ task: task.id, attempts, code: end.fault.code }, 'a task was given up on')
      const next = window.leave(entry)
      if (next !== undefined) {
        this.#makeReady(next)
        this.#pump()
      }
    }
    this.#wakeIdle()
  }

  #budgetLeftMs(task: Task): number {
    return task.acceptedAtMs + task.budgetMs - this.#dependencies.clock.wallMs()
  }

  /** Twice a second: says which attempts are still running, and ends what expired while it waited for capacity. */
  #scheduleSweep(): void {
    this.#sweepTimer = this.#dependencies.clock.timer(SWEEP_MS, () => {
      this.#sweep()
      this.#scheduleSweep()
    })
  }
  #sweepTimer: { cancel(): void } | null = null

  #sweep(): void {
    const { clock, finisher } = this.#dependencies
    const nowMs = clock.monotonicMs()
    for (const entry of this.#running) {
      if (entry.noted || nowMs - entry.begunMs < RUNNING_NOTE_AFTER_MS || entry.window.lost.aborted) continue
      entry.noted = true
      const { id: taskId, queue, owner, lane, generation } = entry.task
      const note = { taskId, queue, owner, state: 'running', attempts: entry.attempts, atMs: clock.wallMs() } as const
      finisher.note({ ...note, generation, fault: null }, lane)
    }
    const wallMs = clock.wallMs()
    if (this.#stopping || wallMs < this.#nextDeadlineMs) return
    this.#nextDeadlineMs = Number.POSITIVE_INFINITY
    const expired = this.#ready.takeWhere((entry) => {
      const deadlineMs = entry.task.acceptedAtMs + entry.task.budgetMs
      if (deadlineMs <= wallMs || entry.window.lost.aborted) return true
      if (deadlineMs < this.#nextDeadlineMs) this.#nextDeadlineMs = deadlineMs
      return false
    })
    for (const entry of expired) if (!entry.window.lost.aborted) this.#expire(entry)
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
    await this.#whenIdle(graceOver)
    const left = [...this.#running].map(
      ({ task, attempts }) => `${task.queue} ${task.id}: attempt ${attempts} was running`,
    )
    this.#sweepTimer?.cancel()
    await this.#subscription.close()
    await this.#intakeEnded
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
    if (this.#idle !== null && this.#running.size === 0 && this.#finishing === 0) this.#idle()
  }
}

function faultOf(outcome: Exclude<Outcome, { kind: 'succeeded' }>, queue: QueueOptions): Fault {
  switch (outcome.kind) {
    case 'failed':
      return { code: outcome.code, detail: outcome.message.slice(0, FAULT_DETAIL_CHARS_MAX) }
    case 'timed-out':
      return {
        code: 'ATTEMPT_TIMED_OUT',
        detail: `The attempt took longer than ${queue.timeoutMs} ms (timeout of the queue).`,
      }
    case 'cancelled':
      return { code: 'TASK_CANCELLED', detail: 'The task was cancelled.' }
    case 'worker-lost':
      return { code: 'WORKER_LOST', detail: outcome.message.slice(0, FAULT_DETAIL_CHARS_MAX) }
  }
}

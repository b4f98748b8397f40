import { rememberAttempt } from '../dead/attempt-history.ts'
import { LOG_OWNER } from '../records.ts'
import type { ParkReason } from '../store/parking.ts'
import type { AttemptRecord, Fault, Outcome } from '../task.ts'
import { AttemptGate } from './attempt-gate.ts'
import { type AttemptSteps, Attempts } from './attempts.ts'
import { Endings } from './endings.ts'
import { deadlineMs, type Entry, elapsedMs, type Wait } from './entry.ts'
import type { PartitionWindow } from './partition-window.ts'
import type { DispatcherDependencies } from './queue-dispatcher.ts'
import type { UnparkingSteps } from './unparking.ts'
import { type Failure, verdictOn } from './verdict.ts'
import { PARK_AFTER_MS } from './window-limits.ts'

/** What the road asks of the dispatcher around it. */
export interface RoadSurroundings {
  /** None of the key is in the window any more, and its parked line may have more. */
  askLine(window: PartitionWindow, key: string): void
  /** Something that was under way has ended. */
  idle(): void
}

/**
 * The steps of a task, downward: arrival → (delay) → line of its key → ready → attempt → outcome → (backoff, parking) →
 * end → settlement.
 */
export class TaskRoad implements AttemptSteps, UnparkingSteps {
  readonly gate: AttemptGate
  readonly attempts: Attempts
  readonly endings: Endings
  readonly #dependencies: DispatcherDependencies
  readonly #surroundings: RoadSurroundings
  readonly #ordered: boolean
  #stopping = false

  constructor(dependencies: DispatcherDependencies, surroundings: RoadSurroundings) {
    const { queue, clock, random, meters } = dependencies
    this.#dependencies = dependencies
    this.#surroundings = surroundings
    this.#ordered = queue.order === 'key'
    this.gate = new AttemptGate(queue, clock, random, meters)
    this.attempts = new Attempts({ ...dependencies, gate: this.gate }, this)
    this.endings = new Endings(
      dependencies,
      (entry) => this.#settle(entry),
      () => surroundings.idle(),
    )
  }

  /** From the log. */
  arrive(entry: Entry): void {
    const { task, window } = entry
    window.delivered(entry)
    if (task.delayMs > 0 && task.owner !== LOG_OWNER && entry.poison === null) {
      // Where our clock is behind that of the gateway it would seem longer than it ever was.
      const delayLeftMs = Math.min(task.delayMs, task.acceptedAtMs + task.delayMs - this.#dependencies.clock.wallMs())
      if (delayLeftMs > 0) {
        this.#delay(entry, delayLeftMs)
        return
      }
    }
    this.enterBehindParked(entry)
  }

  /** Behind what is parked of its key, where something is. */
  enterBehindParked(entry: Entry): void {
    const { parked } = entry.window
    if (this.#ordered && parked !== null && parked.size > 0 && parked.arrived(entry)) return
    this.enter(entry)
  }

  enter(entry: Entry): void {
    if (entry.window.enter(entry)) this.#ready(entry)
  }

  pump(): void {
    this.attempts.pump()
  }

  askLine(window: PartitionWindow, key: string): void {
    this.#surroundings.askLine(window, key)
  }

  endedInstead(entry: Entry): boolean {
    if (entry.poison !== null) this.endings.end(entry, 'dead', { code: 'TASK_UNDECODABLE', detail: entry.poison })
    else if (this.#dependencies.cancellations.has(entry.task)) this.#settle(entry)
    else if (entry.wish === 'skip') this.skip(entry)
    else return false
    return true
  }

  skip(entry: Entry): void {
    const detail = 'An operator gave the task up while it was parked.'
    this.endings.end(entry, 'dead', { code: 'TASK_SKIPPED', detail })
  }

  expire(entry: Entry): void {
    this.endings.expire(entry)
  }

  keyLater(entry: Entry): void {
    this.#wait(entry, 'rate', this.gate.holdForKey(entry), () => this.gate.releaseForKey(entry))
  }

  retryLater(entry: Entry): void {
    // Spread, so that places that come back meanwhile are found.
    this.#wait(entry, 'budget', BUDGET_WAIT_MS * (0.2 + 0.8 * this.#dependencies.random.unit()))
  }

  conclude(entry: Entry, outcome: Outcome): void {
    if (outcome.kind === 'succeeded') {
      const { payload, contentType, blob } = outcome
      const end = { state: 'succeeded', payload, contentType } as const
      void this.endings.finish(entry, blob === undefined ? end : { ...end, blob })
    } else if (outcome.kind === 'cancelled' && this.#dependencies.cancellations.has(entry.task)) this.#settle(entry)
    else this.#failed(entry, outcome)
  }

  idle(): void {
    this.#surroundings.idle()
  }

  /** Its deliveries are settled by whoever hears that it is parked. */
  park(entry: Entry, reason: ParkReason, dueMs: number | null): void {
    const { window } = entry
    const parked = window.parked!
    if (this.#ordered && entry.placed) {
      parked.parkLine(entry, window.leaveWithLine(entry), reason, dueMs)
      return
    }
    parked.parkAlone(entry, reason, dueMs)
    parked.flush()
    this.#next(entry)
  }

  /** These were cancelled: what of them is here ends without its attempt, or in the middle of it. */
  cancel(windows: Iterable<PartitionWindow>): void {
    const { cancellations, target } = this.#dependencies
    for (const { task, attempt } of this.attempts.running) {
      if (attempt !== null && cancellations.has(task)) target.cancel(attempt)
    }
    for (const entry of this.attempts.takeReady(({ task }) => cancellations.has(task))) this.#settle(entry)
    for (const window of windows) {
      for (const entry of [...window.waiting]) {
        if (!cancellations.has(entry.task)) continue
        window.endWait(entry)
        this.#settle(entry)
      }
    }
    this.pump()
  }

  /** Nothing more begins, and no worker that is lost from now on is held against its task. */
  stop(): void {
    this.#stopping = true
    this.attempts.close()
  }

  #delay(entry: Entry, delayLeftMs: number): void {
    const { clock } = this.#dependencies
    const { window } = entry
    if (delayLeftMs > PARK_AFTER_MS && window.parked !== null) {
      // Flushed with the rest of its batch.
      window.parked.parkAlone(entry, 'delayed', clock.monotonicMs() + delayLeftMs)
      return
    }
    const waitMs = Math.min(delayLeftMs, Math.max(0, deadlineMs(entry) - clock.wallMs()))
    window.wait(entry, 'delay', waitMs, clock, () => {
      this.enterBehindParked(entry)
      window.parked?.flush()
      this.pump()
    })
  }

  #ready(entry: Entry): void {
    if (!this.endedInstead(entry)) this.attempts.makeReady(entry)
  }

  #failed(entry: Entry, outcome: Failure): void {
    const { queue, clock, random } = this.#dependencies
    if (outcome.kind === 'worker-lost' && !this.#stopping) entry.losses++
    const nowMs = clock.monotonicMs()
    const question = {
      attempts: entry.attempts,
      losses: entry.losses,
      elapsedMs: elapsedMs(entry, nowMs),
      budgetLeftMs: deadlineMs(entry) - clock.wallMs(),
    }
    const verdict = verdictOn(outcome, queue, question, random)
    if (verdict.kind === 'expire') {
      this.expire(entry)
      return
    }
    entry.fault = verdict.fault
    this.#remember(entry, verdict.fault, outcome.worker ?? null, nowMs)
    if (verdict.kind === 'retry') this.#retryIn(entry, verdict.inMs)
    else if (verdict.kind === 'end') this.endings.end(entry, verdict.state, verdict.fault)
    else if (queue.onExhausted === 'park' && entry.window.parked !== null) this.park(entry, 'exhausted', null)
    else this.endings.end(entry, 'dead', verdict.fault)
  }

  #remember(entry: Entry, { code, detail }: Fault, worker: string | null, nowMs: number): void {
    const endedAtMs = this.#dependencies.clock.wallMs()
    const beganAtMs = Math.round(endedAtMs - (nowMs - entry.begunMs))
    const attempt: AttemptRecord = { number: entry.attempts, beganAtMs, endedAtMs, code, detail, worker }
    entry.history = rememberAttempt(entry.history, attempt)
  }

  #retryIn(entry: Entry, inMs: number): void {
    const { meters, clock } = this.#dependencies
    meters.retried()
    if (inMs > PARK_AFTER_MS && entry.window.parked !== null) {
      this.park(entry, 'backoff', clock.monotonicMs() + inMs)
      return
    }
    this.#noteRetrying(entry)
    this.#wait(entry, 'backoff', inMs)
  }

  /** A short wait stays in the window. With order by key its key waits behind it; else others of its key go on. */
  #wait(entry: Entry, why: 'backoff' | 'budget' | 'rate', delayMs: number, ended: Wait['ended'] = null): void {
    const { window } = entry
    if (!this.#ordered) this.#next(entry)
    const then = () => {
      if (this.#ordered) this.#ready(entry)
      else this.enter(entry)
      this.pump()
    }
    window.wait(entry, why, delayMs, this.#dependencies.clock, then, ended)
  }

  #noteRetrying(entry: Entry): void {
    const { finisher, clock } = this.#dependencies
    const { id: taskId, queue, owner, lane, generation } = entry.task
    const { attempts, fault } = entry
    const note = { taskId, queue, owner, state: 'retrying', attempts, generation, atMs: clock.wallMs(), fault } as const
    finisher.note(note, lane)
  }

  /** Its result is durable: the log, or the parking place, need not keep it any more. */
  #settle(entry: Entry): void {
    this.#letGo(entry)
    this.#next(entry)
  }

  #letGo({ delivery, window, record, task }: Entry): void {
    if (delivery === null) window.parked!.store.remove(record.offset)
    else window.settle(delivery, task)
  }

  /** Whoever stands behind it in the line of its key. */
  #next(entry: Entry): void {
    const { window } = entry
    for (let next = window.leave(entry); next !== undefined; next = window.leave(next)) {
      if (this.#dependencies.cancellations.has(next.task)) this.#letGo(next)
      else {
        this.#ready(next)
        this.pump()
        return
      }
    }
    const { parked } = window
    const { key } = entry.task
    if (parked === null || parked.size === 0 || key === null) return
    if (parked.has(key) && !window.has(key)) this.#surroundings.askLine(window, key)
  }
}

/** After this at the latest a retry that found no place in the budget asks again. ms */
const BUDGET_WAIT_MS = 1_000

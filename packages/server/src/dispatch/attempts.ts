import type { Clock, Timer } from '@forebay/broker'
import { notBegun } from '../blobs/blob-target.ts'
import type { Target } from '../execute/target.ts'
import type { Finisher } from '../finish/finisher.ts'
import type { QueueOptions } from '../options.ts'
import type { Outcome } from '../task.ts'
import type { QueueMeters } from '../telemetry.ts'
import type { AttemptGate } from './attempt-gate.ts'
import { deadlineMs, type Entry } from './entry.ts'
import { FairLine } from './fair-line.ts'

export interface AttemptsDependencies {
  readonly queue: QueueOptions
  readonly target: Target
  readonly gate: AttemptGate
  readonly finisher: Finisher
  readonly clock: Clock
  readonly meters: QueueMeters
}

/** What happens around attempts, elsewhere. */
export interface AttemptSteps {
  /** Called with what is ready, before it runs: true when it was ended instead. */
  endedInstead(entry: Entry): boolean
  expire(entry: Entry): void
  /** The rate of its key lets it begin only later. */
  keyLater(entry: Entry): void
  /** There is no place for it among the retries now. */
  retryLater(entry: Entry): void
  conclude(entry: Entry, outcome: Outcome): void
  /** The last attempt that ran has ended. */
  idle(): void
}

/** From ready to outcome: hands tasks to the target as soon, and in such an order, as the queue's limits let it. */
export class Attempts {
  readonly running = new Set<Entry>()
  readonly #dependencies: AttemptsDependencies
  readonly #steps: AttemptSteps
  readonly #ready: FairLine<Entry>
  /** Earliest deadline among what is ready; wall ms. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY
  #gateTimer: Timer | null = null
  #pumping = false
  #closed = false

  constructor(dependencies: AttemptsDependencies, steps: AttemptSteps) {
    this.#dependencies = dependencies
    this.#steps = steps
    this.#ready = new FairLine(dependencies.queue.fairness?.weights ?? new Map())
    dependencies.target.onCapacity = () => this.pump()
  }

  makeReady(entry: Entry): void {
    this.#ready.push(entry, entry.task.priority, entry.flow)
    const atMs = deadlineMs(entry)
    if (atMs < this.#nextDeadlineMs) this.#nextDeadlineMs = atMs
  }

  pump(): void {
    // What it ends may call for it again: the loop that runs goes on with that.
    if (this.#pumping) return
    this.#pumping = true
    this.#beginAll()
    this.#pumping = false
  }

  /** Takes out what is ready and for which `condition` holds. */
  takeReady(condition: (entry: Entry) => boolean): readonly Entry[] {
    return this.#ready.takeWhere(condition)
  }

  /** Says which attempts are still running, and ends what expired while it waited for capacity; for now and then. */
  sweep(): void {
    const { clock, gate } = this.#dependencies
    const nowMs = clock.monotonicMs()
    for (const entry of this.running) {
      if (entry.noted || nowMs - entry.begunMs < RUNNING_NOTE_AFTER_MS || entry.window.lost.aborted) continue
      entry.noted = true
      this.#noteRunning(entry)
    }
    gate.reportBreaker()
    if (!this.#closed) this.#expireReady()
  }

  /** Begins nothing more. */
  close(): void {
    this.#closed = true
    this.#gateTimer?.cancel()
    this.#gateTimer = null
  }

  #beginAll(): void {
    const { target, gate } = this.#dependencies
    while (!this.#closed && this.#ready.length > 0 && target.capacity > 0) {
      if (!gate.mayBegin(this.running.size)) {
        this.#pumpWhenOpen()
        return
      }
      const entry = this.#ready.shift()!
      if (entry.window.lost.aborted || this.#steps.endedInstead(entry)) continue
      const budgetLeftMs = this.#budgetLeftMs(entry)
      if (budgetLeftMs <= 0) this.#steps.expire(entry)
      else if (gate.keyMustWait(entry)) this.#steps.keyLater(entry)
      else if (!gate.mayRetry(entry)) this.#steps.retryLater(entry)
      else this.#begin(entry, budgetLeftMs)
    }
  }

  #begin(entry: Entry, budgetLeftMs: number): void {
    const { target, queue, clock, meters, gate, finisher } = this.#dependencies
    gate.begun(entry)
    entry.attempts++
    entry.begunMs = clock.monotonicMs()
    if (entry.firstBegunMs < 0) entry.firstBegunMs = entry.begunMs
    entry.noted = false
    this.running.add(entry)
    meters.attempted()
    meters.running(1)
    const { lost } = entry.window
    const output = finisher.output(entry.task, entry.attempts, lost)
    const timeoutMs = Math.min(queue.timeoutMs, budgetLeftMs)
    const { task, record } = entry
    const attempt = { task, record, number: entry.attempts, timeoutMs, lost, output }
    entry.attempt = attempt
    void target.run(attempt).then((outcome) => {
      const said = output.end()
      if (said === null) this.#ended(entry, outcome)
      else void said.then(() => this.#ended(entry, outcome))
    })
  }

  #ended(entry: Entry, outcome: Outcome): void {
    const { gate, meters } = this.#dependencies
    this.running.delete(entry)
    entry.attempt = null
    meters.running(-1)
    gate.ended(entry, outcome)
    if (!entry.window.lost.aborted) {
      if (notBegun(outcome)) this.#again(entry)
      else this.#steps.conclude(entry, outcome)
    }
    this.pump()
    if (this.running.size === 0) this.#steps.idle()
  }

  /** Nobody has seen the attempt: as if it had not been. */
  #again(entry: Entry): void {
    entry.attempts--
    if (entry.firstBegunMs === entry.begunMs) entry.firstBegunMs = -1
    this.#steps.retryLater(entry)
  }

  #pumpWhenOpen(): void {
    const { gate, clock } = this.#dependencies
    if (this.#gateTimer !== null) return
    const inMs = gate.opensInMs(this.running.size)
    if (inMs === null) return
    this.#gateTimer = clock.timer(Math.max(1, inMs), () => {
      this.#gateTimer = null
      this.pump()
    })
  }

  #expireReady(): void {
    const wallMs = this.#dependencies.clock.wallMs()
    if (wallMs < this.#nextDeadlineMs) return
    this.#nextDeadlineMs = Number.POSITIVE_INFINITY
    const over = this.#ready.takeWhere((entry) => {
      const atMs = deadlineMs(entry)
      if (atMs <= wallMs || entry.window.lost.aborted) return true
      if (atMs < this.#nextDeadlineMs) this.#nextDeadlineMs = atMs
      return false
    })
    for (const entry of over) if (!entry.window.lost.aborted) this.#steps.expire(entry)
  }

  #noteRunning(entry: Entry): void {
    const { clock, finisher } = this.#dependencies
    const { id: taskId, queue, owner, lane, generation } = entry.task
    const note = { taskId, queue, owner, state: 'running', attempts: entry.attempts, atMs: clock.wallMs() } as const
    finisher.note({ ...note, generation, fault: null }, lane)
  }

  #budgetLeftMs(entry: Entry): number {
    return deadlineMs(entry) - this.#dependencies.clock.wallMs()
  }
}

/** Attempts longer than this are reported as running; shorter ones would only cost. */
const RUNNING_NOTE_AFTER_MS = 1_000

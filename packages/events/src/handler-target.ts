import type { Clock, LogRecord, Position, Timer } from '@forebay/broker'
import type { Attempt, Outcome, Target } from '@forebay/server/dispatch'
import type { FoundEvent } from './again/again-topic.ts'
import type { Counts } from './consumer-counts.ts'
import type { Event } from './event.ts'
import { AttemptAborted, refusalOf } from './handler-errors.ts'
import type { HandlerSlots } from './handler-slots.ts'
import type { ReadEvent } from './read-event.ts'

export interface HandlerContext {
  /** Aborts, with an `AttemptAborted`, when the attempt's time is over or the event is somebody else's now. */
  readonly signal: AbortSignal
  /** 1 for the first; a crash begins again at 1. */
  readonly attempt: number
  /** Where the event lies in its topic, also when it came again. */
  readonly position: Position
  /** Null: it came from its topic. Else it was given to this group again: how often it was redriven, 0 for a replay. */
  readonly redrives: number | null
}

export type Handler = (event: Event, context: HandlerContext) => unknown

export interface HandlerTargetParts {
  readonly found: (record: LogRecord) => FoundEvent
  readonly read: (record: LogRecord) => ReadEvent
  readonly handlers: Readonly<Record<string, Handler>>
  readonly unknown: 'skip' | 'dead'
  readonly slots: HandlerSlots
  readonly counts: Counts
  readonly clock: Clock
}

/** Calls handlers in this process, as the target of the queue that one topic is to its group. */
export class HandlerTarget implements Target {
  onCapacity: () => void = () => {}
  readonly #parts: HandlerTargetParts
  readonly #calls = new Map<Attempt, Call>()
  #idle: (() => void) | null = null

  constructor(parts: HandlerTargetParts) {
    this.#parts = parts
    parts.slots.onFree(() => this.onCapacity())
  }

  get capacity(): number {
    return this.#parts.slots.free
  }

  run(attempt: Attempt): Promise<Outcome> {
    const { found: findAtFirst, read: readEvent, unknown, counts } = this.#parts
    const found = findAtFirst(attempt.record)
    const read = readEvent(found.record)
    if (read.kind === 'event') return this.#call(attempt, found, read.event)
    // Somebody meant a redriven one for this group: passing it over would lose it.
    if (read.kind === 'unknown' && unknown === 'skip' && (found.redrives ?? 0) === 0) {
      counts.skipped++
      return DONE
    }
    return Promise.resolve({ kind: 'failed', code: 'EVENT_UNDECODABLE', message: read.why, then: 'dead' })
  }

  cancel(attempt: Attempt): void {
    this.#calls.get(attempt)?.abort('assignment-lost')
  }

  /** What runs is called off when `signal` aborts; resolves when all of it has ended, or had `LEAVE_MS` to end. */
  async stop(signal: AbortSignal): Promise<void> {
    const callOff = () => {
      for (const call of this.#calls.values()) call.abort('stopping')
    }
    if (signal.aborted) callOff()
    else signal.addEventListener('abort', callOff, { once: true })
    if (this.#calls.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    signal.removeEventListener('abort', callOff)
  }

  #call(attempt: Attempt, { record, redrives }: FoundEvent, event: Event): Promise<Outcome> {
    const { slots, counts, clock, handlers } = this.#parts
    slots.take()
    return new Promise((resolve) => {
      const call = new Call(attempt, clock, (outcome) => {
        this.#calls.delete(attempt)
        if (outcome?.kind === 'succeeded') counts.handled++
        slots.giveBack()
        // One that was handed back has no outcome: whoever gets it next begins anew.
        if (outcome !== null) resolve(outcome)
        if (this.#calls.size === 0) this.#idle?.()
      })
      this.#calls.set(attempt, call)
      const { topic, partition, offset } = record
      const position = { topic, partition, offset }
      const context = { signal: call.signal, attempt: attempt.number, position, redrives }
      void (async () => handlers[event.type]!(event, context))().then(
        () => call.succeeded(),
        (thrown: unknown) => call.failed(thrown),
      )
    })
  }
}

/** One call of a handler, until its outcome is known. */
class Call {
  readonly #attempt: Attempt
  readonly #clock: Clock
  readonly #end: (outcome: Outcome | null) => void
  readonly #calledOff = new AbortController()
  readonly #lost = () => this.abort('assignment-lost')
  #why: AttemptAborted['why'] | null = null
  #timer: Timer
  #over = false

  constructor(attempt: Attempt, clock: Clock, end: (outcome: Outcome | null) => void) {
    this.#attempt = attempt
    this.#clock = clock
    this.#end = end
    this.#timer = clock.timer(attempt.timeoutMs, () => this.abort('timed-out'))
    attempt.lost.addEventListener('abort', this.#lost, { once: true })
  }

  get signal(): AbortSignal {
    return this.#calledOff.signal
  }

  /** The handler has `LEAVE_MS` to end; one that does not runs on beside what comes after it. */
  abort(why: AttemptAborted['why']): void {
    if (this.#why !== null || this.#over) return
    this.#why = why
    this.#timer.cancel()
    this.#timer = this.#clock.timer(LEAVE_MS, () => this.#conclude(this.#givenUp()))
    this.#calledOff.abort(new AttemptAborted(why))
  }

  /** Also when it was called off: its effect is there. */
  succeeded(): void {
    this.#conclude(SUCCEEDED)
  }

  failed(thrown: unknown): void {
    const refusal = refusalOf(thrown)
    const { message } = refusal
    if (this.#why !== null) this.#conclude(this.#givenUp())
    else if (refusal.then === 'dead') this.#conclude({ kind: 'failed', code: 'WORKER_REFUSED', message, then: 'dead' })
    else {
      const { afterMs: retryAfterMs } = refusal
      this.#conclude({ kind: 'failed', code: 'WORKER_FAILED', message, then: 'retry', retryAfterMs })
    }
  }

  /** Null where this process hands it back by ending. */
  #givenUp(): Outcome | null {
    if (this.#why === 'stopping') return null
    return this.#why === 'timed-out' ? { kind: 'timed-out' } : ASSIGNMENT_LOST
  }

  #conclude(outcome: Outcome | null): void {
    if (this.#over) return
    this.#over = true
    this.#timer.cancel()
    this.#attempt.lost.removeEventListener('abort', this.#lost)
    this.#end(outcome)
  }
}

/** What a handler has to end in when it is called off. ms */
export const LEAVE_MS = 1_000
const SUCCEEDED: Outcome = { kind: 'succeeded', payload: new Uint8Array(), contentType: '' }
/** Nobody reads it. */
const ASSIGNMENT_LOST: Outcome = { kind: 'worker-lost', message: 'The assignment was lost.' }
const DONE = Promise.resolve(SUCCEEDED)

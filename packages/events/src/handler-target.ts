import type { Clock, LogRecord } from '@forebay/broker'
import type { Attempt, Outcome, Target } from '@forebay/server/dispatch'
import type { FoundEvent } from './again/again-topic.ts'
import type { ResolvedHandler } from './batch-handler.ts'
import { outcomesOf, SUCCEEDED } from './call-outcome.ts'
import type { Counts } from './consumer-counts.ts'
import { HandlerCall } from './handler-call.ts'
import type { EventPlace } from './handler-context.ts'
import type { HandlerSlots } from './handler-slots.ts'
import { type HeldEvent, HeldEvents } from './held-events.ts'
import type { ReadEvent } from './read-event.ts'
import { SchemaWaits } from './schema-waits.ts'

export interface HandlerTargetParts {
  readonly found: (record: LogRecord) => FoundEvent
  readonly read: (record: LogRecord) => ReadEvent
  readonly handlers: Readonly<Record<string, ResolvedHandler>>
  readonly unknown: 'skip' | 'dead'
  readonly slots: HandlerSlots
  readonly counts: Counts
  readonly clock: Clock
}

/**
 * Calls handlers in this process, as the target of the queue that one topic is to its group. Where there are batch
 * handlers it takes events ahead of their calls, as many as the largest batch holds.
 */
export class HandlerTarget implements Target {
  onCapacity: () => void = () => {}
  /** Something was handed back without a call when it stopped. */
  hasHandedBack = false
  readonly #parts: HandlerTargetParts
  readonly #calls = new Set<HandlerCall>()
  readonly #held: HeldEvents
  readonly #waits: SchemaWaits
  readonly #heldMax: number
  #idle: (() => void) | null = null

  constructor(parts: HandlerTargetParts) {
    const { handlers, slots, clock } = parts
    this.#parts = parts
    this.#waits = new SchemaWaits(clock)
    const sizes = Object.values(handlers).map((one) => (typeof one === 'function' ? 0 : one.eventsMax))
    this.#heldMax = Math.max(0, ...sizes)
    this.#held = new HeldEvents({
      clock,
      slotIsFree: () => slots.free > 0,
      begin: (handler, events) => this.#call(handler, events),
      onRoom: () => this.onCapacity(),
    })
    slots.onFree(() => {
      this.#held.callNext()
      this.onCapacity()
    })
  }

  get capacity(): number {
    const { slots } = this.#parts
    return slots.paused ? 0 : slots.free + Math.max(0, this.#heldMax - this.#held.count)
  }

  run(attempt: Attempt): Promise<Outcome> {
    const { found: findAtFirst, read: readEvent, handlers, unknown, counts } = this.#parts
    const found = findAtFirst(attempt.record)
    const read = readEvent(found.record)
    if (read.kind === 'event') {
      const { event } = read
      return new Promise((resolve) => this.#held.take(handlers[event.type]!, { attempt, found, event, resolve }))
    }
    if (read.kind === 'waiting') {
      const { promise, resolve } = Promise.withResolvers<Outcome>()
      void this.#waits.wait(read.until, () => resolve(attempt.lost.aborted ? DONE : this.run(attempt)))
      return promise
    }
    // Somebody meant a redriven one for this group: passing it over would lose it.
    if (read.kind === 'unknown' && unknown === 'skip' && (found.redrives ?? 0) === 0) {
      counts.skipped++
      counts.told.skipped()
      return DONE
    }
    return Promise.resolve({ kind: 'failed', code: 'EVENT_UNDECODABLE', message: read.why, then: 'dead' })
  }

  /** Nobody cancels events. */
  cancel(): void {}

  /**
   * What waits for its call gets it, unless the consumer is paused; what runs is called off when `signal` aborts. Resolves
   * when all has ended, or had `LEAVE_MS` to end.
   */
  async stop(signal: AbortSignal): Promise<void> {
    this.hasHandedBack = this.#waits.stop()
    this.#held.flush()
    if (this.#parts.slots.paused) this.hasHandedBack = this.#held.drop() || this.hasHandedBack
    const callOff = () => {
      this.hasHandedBack = this.#held.drop() || this.hasHandedBack
      for (const call of this.#calls) call.abort('stopping')
      this.#wakeIdle()
    }
    if (signal.aborted) callOff()
    else signal.addEventListener('abort', callOff, { once: true })
    await new Promise<void>((resolve) => {
      this.#idle = resolve
      this.#wakeIdle()
    })
    signal.removeEventListener('abort', callOff)
  }

  #call(handler: ResolvedHandler, held: readonly HeldEvent[]): void {
    const { slots, counts, clock } = this.#parts
    slots.take()
    const events = held.map(({ event }) => event)
    const { type } = events[0]!
    const begunMs = clock.monotonicMs()
    counts.told.callBegan()
    const call = new HandlerCall({
      timeoutMs: held[0]!.attempt.timeoutMs,
      lost: held.length === 1 ? [held[0]!.attempt.lost] : [...new Set(held.map(({ attempt }) => attempt.lost))],
      clock,
      ended: (end) => {
        this.#calls.delete(call)
        const outcomes = outcomesOf(end, events)
        counts.told.callEnded(type, (clock.monotonicMs() - begunMs) / 1000)
        for (let index = 0; index < held.length; index++) {
          if (outcomes[index]?.kind === 'succeeded') this.#handled(held[index]!)
        }
        slots.giveBack()
        for (let index = 0; index < held.length; index++) {
          const outcome = outcomes[index]!
          // One that was handed back has no outcome: whoever gets it next begins anew.
          if (outcome !== null) held[index]!.resolve(outcome)
        }
        this.#wakeIdle()
      },
    })
    this.#calls.add(call)
    const { signal } = call
    if (typeof handler === 'function') {
      const context = { signal, ...placeOf(held[0]!) }
      call.follow((async () => handler(events[0]!, context))())
    } else {
      const context = { signal, places: held.map(placeOf) }
      call.follow((async () => handler.batch(events, context))())
    }
  }

  #handled({ event, attempt }: HeldEvent): void {
    const { counts, clock } = this.#parts
    counts.handled++
    counts.told.handled(event.type, Math.max(0, clock.wallMs() - attempt.record.timestampMs) / 1000)
  }

  #wakeIdle(): void {
    if (this.#calls.size === 0 && this.#held.count === 0) this.#idle?.()
  }
}

function placeOf({ attempt, found }: HeldEvent): EventPlace {
  const { topic, partition, offset } = found.record
  return { attempt: attempt.number, position: { topic, partition, offset }, redrives: found.redrives }
}

const DONE = Promise.resolve(SUCCEEDED)

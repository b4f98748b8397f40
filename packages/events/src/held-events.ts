import type { Clock, Timer } from '@forebay/broker'
import type { Attempt, Outcome } from '@forebay/server/dispatch'
import type { FoundEvent } from './again/again-topic.ts'
import type { ResolvedHandler } from './batch-handler.ts'
import { ASSIGNMENT_LOST } from './call-outcome.ts'
import type { Event } from './event.ts'
import type { Handler } from './handler-context.ts'

/** An event that the dispatcher handed over. */
export interface HeldEvent {
  readonly attempt: Attempt
  readonly found: FoundEvent
  readonly event: Event
  readonly resolve: (outcome: Outcome) => void
}

export interface HeldEventsParts {
  readonly clock: Clock
  readonly slotIsFree: () => boolean
  /** Takes a slot. */
  readonly begin: (handler: ResolvedHandler, events: readonly HeldEvent[]) => void
  /** There is room for more, and nobody was told. */
  readonly onRoom: () => void
}

/** Events between their hand-over and the call of their handler: they wait for others to go with, and for a slot. */
export class HeldEvents {
  count = 0
  readonly #parts: HeldEventsParts
  /** Of each type the call that takes more events. */
  readonly #filling = new Map<string, WaitingCall>()
  /** Calls that wait for a slot, first come, first served; one that still fills may be among them. */
  readonly #line: WaitingCall[] = []

  constructor(parts: HeldEventsParts) {
    this.#parts = parts
  }

  take(handler: ResolvedHandler, held: HeldEvent): void {
    // Most events: nothing to wait for.
    if (typeof handler === 'function' && this.#line.length === 0 && this.#parts.slotIsFree()) {
      this.#parts.begin(handler, [held])
      return
    }
    this.count++
    // What failed in a batch is tried again by itself.
    if (typeof handler === 'function' || handler.eventsMax === 1 || held.attempt.number > 1) {
      this.#due({ handler, events: [held], linger: null })
      return
    }
    const { type } = held.event
    const call = this.#filling.get(type) ?? this.#fill(type, handler)
    call.events.push(held)
    if (call.events.length < handler.eventsMax) return
    this.#filling.delete(type)
    if (call.linger !== null) this.#due(call)
  }

  /** Begins what waits, as far as there are slots. */
  callNext(): void {
    while (this.#line.length > 0 && this.#parts.slotIsFree()) {
      const { handler, events } = this.#takeOut(this.#line.shift()!)
      const [lost, ours] = partition(events, ({ attempt }) => attempt.lost.aborted)
      for (const { resolve } of lost) resolve(ASSIGNMENT_LOST)
      if (ours.length > 0) this.#parts.begin(handler, ours)
    }
  }

  /** Waits for no more events. */
  flush(): void {
    for (const call of this.#filling.values()) if (call.linger !== null) this.#due(call)
    this.#filling.clear()
  }

  /** Lets go of all of them: no outcome. True when there were any. */
  drop(): boolean {
    this.flush()
    const { count } = this
    for (const call of this.#line.splice(0)) this.#takeOut(call)
    return count > 0
  }

  #fill(type: string, handler: Exclude<ResolvedHandler, Handler>): WaitingCall {
    const call: WaitingCall = { handler, events: [], linger: null }
    call.linger = this.#parts.clock.timer(handler.lingerMs, () => {
      this.#due(call)
      this.#parts.onRoom()
    })
    this.#filling.set(type, call)
    return call
  }

  #due(call: WaitingCall): void {
    call.linger?.cancel()
    call.linger = null
    this.#line.push(call)
    this.callNext()
  }

  #takeOut(call: WaitingCall): WaitingCall {
    const { type } = call.events[0]!.event
    if (this.#filling.get(type) === call) this.#filling.delete(type)
    this.count -= call.events.length
    return call
  }
}

interface WaitingCall {
  readonly handler: ResolvedHandler
  readonly events: HeldEvent[]
  /** Null once it is in the line. */
  linger: Timer | null
}

function partition<T>(all: readonly T[], condition: (one: T) => boolean): readonly [T[], T[]] {
  const [yes, no]: [T[], T[]] = [[], []]
  for (const one of all) (condition(one) ? yes : no).push(one)
  return [yes, no]
}

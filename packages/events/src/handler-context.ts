import type { Position } from '@forebay/broker'
import type { Event } from './event.ts'

/** Of one delivery of one event. */
export interface EventPlace {
  /** 1 for the first; a crash begins again at 1. */
  readonly attempt: number
  /** Where the event lies in its topic, also when it came again. */
  readonly position: Position
  /** Null: it came from its topic. Else it was given to this group again: how often it was redriven, 0 for a replay. */
  readonly redrives: number | null
}

export interface HandlerContext extends EventPlace {
  /** Aborts, with an `AttemptAborted`, when the attempt's time is over or the event is somebody else's now. */
  readonly signal: AbortSignal
}

export interface BatchContext {
  /** Aborts, with an `AttemptAborted`, when the attempt's time is over or all of the events are somebody else's now. */
  readonly signal: AbortSignal
  /** Of each event, in the order of the events. */
  readonly places: readonly EventPlace[]
}

export type Handler = (event: Event, context: HandlerContext) => unknown

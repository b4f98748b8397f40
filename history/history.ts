/**
 * What happened in a run, as seen from outside: by callers, by workers, by a reader of the log. The simulation and the
 * runs on real parts record the same events, and the same checkers judge both. Nothing that is judged reports on itself
 * except where an event is marked white-box; checkers that need such events say nothing where there are none.
 */
export interface History {
  readonly queues: ReadonlyMap<string, QueueRules>
  /** False: idempotency keys hold at one gateway only. */
  readonly sharedStore: boolean
  /** By `t`; events of one moment in the order in which they happened. */
  readonly events: readonly HistoryEvent[]
}

/** The part of a queue's policy that can be checked. */
export interface QueueRules {
  readonly topic: string
  readonly ordered: boolean
  readonly attemptsMax: number
}

/** Common to all. */
export interface Moment {
  /** ms on one clock for the whole run, which never jumps. Of records: when they were appended, as well as it is known. */
  readonly t: number
  /** Process or caller that did it; another name after each restart. */
  readonly by: string
}

export type HistoryEvent = Moment & EventBody

export type EventBody =
  | SubmitEvent
  | WaitEvent
  | ReadEvent
  | CancelEvent
  | ExecEvent
  | LogEvent
  | OwnerEvent
  | ParkEvent
  | OperatorEvent
  | RunEvent

/** `request` is one call; a caller that asks again makes a new one with the same `body` and key. */
export type SubmitEvent =
  | {
      readonly type: 'submit.invoke'
      readonly request: string
      readonly gateway: string
      readonly principal: string
      readonly queue: string
      /** Ordering key. */
      readonly key: string | null
      readonly idempotencyKey: string | null
      /** Digest of the payload; another one for each thing that is asked for. */
      readonly body: string
    }
  | { readonly type: 'submit.ok'; readonly request: string; readonly taskId: string; readonly replayed: boolean }
  /** Only for answers that promise that nothing was appended. */
  | { readonly type: 'submit.fail'; readonly request: string; readonly code: string }
  | { readonly type: 'submit.unknown'; readonly request: string; readonly taskId: string | null; readonly code: string }

/** A caller who stayed for the answer of its own submission. */
export type WaitEvent =
  | { readonly type: 'wait.begin'; readonly request: string; readonly taskId: string; readonly waitMs: number }
  | {
      readonly type: 'wait.end'
      readonly request: string
      readonly taskId: string
      /** Null: not yet. 'gone': the gateway went away. */
      readonly state: string | null
      readonly answer: string | null
    }

export type ReadEvent =
  | {
      readonly type: 'read.ok'
      readonly caller: string
      readonly taskId: string
      /** When it was asked, on the clock of `t`. */
      readonly asked: number
      readonly waitMs: number
      /** 'pending' also where the gateway had not heard of the task. */
      readonly state: string
      /** Digest of the payload or of the fault; null while it has not ended. */
      readonly answer: string | null
      /** Asked after everything was healed and quiet. */
      readonly final: boolean
    }
  | {
      readonly type: 'read.fail'
      readonly caller: string
      readonly taskId: string
      readonly code: string
      readonly final: boolean
    }

export type CancelEvent =
  | { readonly type: 'cancel.invoke'; readonly request: string; readonly taskId: string }
  /** How the task ended in the end, as the answer said. */
  | {
      readonly type: 'cancel.ok'
      readonly request: string
      readonly taskId: string
      readonly state: string
      readonly answer: string | null
    }
  | { readonly type: 'cancel.fail'; readonly request: string; readonly taskId: string; readonly code: string }
  | { readonly type: 'cancel.unknown'; readonly request: string; readonly taskId: string; readonly code: string }

/** Written by the worker, around its effect. */
export type ExecEvent =
  | {
      readonly type: 'exec.start'
      readonly execution: string
      readonly taskId: string
      readonly generation: number
      readonly attempt: number
      readonly queue: string
      readonly key: string | null
      /** Digest of the payload as it came. */
      readonly body: string
      /** Wall ms of whoever handed it out (where it is not known: of the worker). */
      readonly wallMs: number
      /** White-box: who handed it out, under which assignment. */
      readonly owner?: Owner
    }
  | {
      readonly type: 'exec.end'
      readonly execution: string
      readonly taskId: string
      readonly outcome: 'succeeded' | 'retry' | 'final' | 'dead'
      /** Digest of the payload of a success. */
      readonly answer: string | null
      /** What the worker asked for with 'retry'. */
      readonly retryAfterMs: number | null
    }
  /** White-box: the hand-over was over for the dispatcher, whatever the worker does. */
  | { readonly type: 'exec.over'; readonly execution: string; readonly taskId: string; readonly outcome: string }

/** Records, read by somebody else than those who work with them. */
export type LogEvent =
  | {
      readonly type: 'log.task'
      readonly topic: string
      readonly partition: number
      readonly offset: number
      readonly taskId: string
      readonly queue: string
      readonly key: string | null
      readonly owner: string
      readonly generation: number
      readonly attemptsBefore: number
      readonly delayMs: number
      /** Wall ms, by the clock of whoever accepted it. */
      readonly acceptedAtMs: number
      /** Wall ms. */
      readonly deadlineAtMs: number
      readonly body: string
    }
  | {
      readonly type: 'log.result'
      readonly partition: number
      readonly offset: number
      readonly taskId: string
      readonly generation: number
      readonly state: string
      readonly answer: string
      readonly attempts: number
      readonly finishedAtMs: number
    }
  | {
      readonly type: 'log.note'
      readonly partition: number
      readonly offset: number
      readonly taskId: string
      readonly generation: number
      readonly state: string
    }
  | {
      readonly type: 'log.dead'
      readonly topic: string
      readonly partition: number
      readonly offset: number
      readonly taskId: string
      readonly generation: number
      /** topic:partition:offset of the task's record. */
      readonly origin: string
      readonly body: string
    }

/** A partition under one assignment: of an execution, as the member was told of it; else, as the group has it. */
export interface Owner {
  readonly topic: string
  readonly partition: number
  /** Differs between any two assignments of the partition. */
  readonly epoch: number
}

/** White-box: what the log's group did and was told. */
export type OwnerEvent =
  | { readonly type: 'owner.assigned'; readonly group: string; readonly owner: Owner }
  /** The group took it away, which the member may not have heard yet. */
  | { readonly type: 'owner.revoked'; readonly group: string; readonly owner: Owner }
  | {
      readonly type: 'commit'
      readonly group: string
      /** Under which the committed work was done. */
      readonly owner: Owner
      /** First unfinished. */
      readonly offset: number
      /** Finished ones above it. */
      readonly done: readonly number[]
      /** False: the log refused it. */
      readonly taken: boolean
    }

/** White-box: rows of parked tasks as the store has them. */
export type ParkEvent =
  | {
      readonly type: 'park.kept'
      readonly queue: string
      readonly partition: number
      readonly offset: number
      readonly taskId: string
      readonly reason: string
      readonly line: string | null
      /** Null: not by time. */
      readonly dueInMs: number | null
    }
  | { readonly type: 'park.removed'; readonly queue: string; readonly partition: number; readonly offset: number }
  /** Because it was cancelled. */
  | { readonly type: 'park.dropped'; readonly taskId: string }

export type OperatorEvent =
  /** Of a parked task: before it was known whether the store took the wish. */
  | { readonly type: 'operator.wish'; readonly taskId: string; readonly wish: 'retry' | 'release' | 'skip' }
  | { readonly type: 'operator.redrive'; readonly count: number }

export type RunEvent =
  | { readonly type: 'phase'; readonly phase: 'calm' | 'faults' | 'healed' | 'quiet' | 'stuck' | 'end' }
  | { readonly type: 'fault.begin'; readonly fault: string; readonly target: string }
  | { readonly type: 'fault.end'; readonly fault: string; readonly target: string }
  | { readonly type: 'process.start'; readonly role: string }
  | { readonly type: 'process.crash' }
  /** A process broke by itself: an exception that nobody caught. */
  | { readonly type: 'process.broke'; readonly error: string }

export type EventOf<Type extends HistoryEvent['type']> = Extract<HistoryEvent, { readonly type: Type }>

/** One broken promise, and the few events that prove it. */
export interface Violation {
  /** As in docs/simulation.md: 'D-1', 'V-3', … */
  readonly invariant: string
  /** One sentence. */
  readonly says: string
  /** In order of time. */
  readonly witness: readonly HistoryEvent[]
}

export type Checker = (history: History) => Violation[]

/** Is this state an end? */
export function isEnd(state: string | null): boolean {
  return state !== null && ENDS.has(state)
}
const ENDS: ReadonlySet<string> = new Set(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])

/** One line an event, fields in the order in which they were written: the same run gives the same bytes. */
export function formatEvents(events: readonly HistoryEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('')
}

export function parseEvents(text: string): HistoryEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HistoryEvent)
}

/** What several processes recorded, as one; where moments are equal the order of the parts decides. */
export function mergeEvents(parts: readonly (readonly HistoryEvent[])[]): HistoryEvent[] {
  return parts.flat().sort((one, other) => one.t - other.t)
}

export function formatViolation({ invariant, says, witness }: Violation): string {
  return [`${invariant}: ${says}`, ...witness.map((event) => `    ${formatEvent(event)}`)].join('\n')
}

function formatEvent({ t, by, type, ...rest }: HistoryEvent): string {
  return `${t.toFixed(1).padStart(10)} ms  ${by.padEnd(14)} ${type.padEnd(14)} ${JSON.stringify(rest)}`
}

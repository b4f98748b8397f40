import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Replies, Watch, WatchEvent } from '../reply/replies.ts'
import type { PrincipalSlots } from './principal-slots.ts'
import { EXPIRED_GRACE_MS, type ReadTask, refuseUnreadable, taskNotFound } from './read-task.ts'
import type { TaskIdParts, TaskIds } from './task-id.ts'

/** Where a reader stands in the stream of a task: the same on every gateway. */
export type Position =
  /** After the output of this offset on the lane; -1: before everything. */
  | { readonly kind: 'output'; readonly offset: number }
  /** After the end of this generation. */
  | { readonly kind: 'end'; readonly generation: number }

/** Null for a text that no gateway has given out; '' is the beginning. */
export function readPosition(text: string): Position | null {
  if (text === '') return { kind: 'output', offset: -1 }
  const [, end, digits] = POSITION.exec(text) ?? []
  const number = Number(digits)
  if (digits === undefined || !Number.isSafeInteger(number)) return null
  return end === undefined ? { kind: 'output', offset: number } : { kind: 'end', generation: number }
}

/** Where a reader stands once it has taken this event; '' for events that have no place of their own. */
export function positionAfter(event: WatchEvent): string {
  if (event.kind === 'output') return String(event.offset)
  return event.kind === 'end' ? `end-${event.view.generation}` : ''
}

const POSITION = /^(end-)?(0|[1-9]\d{0,15})$/

export interface OpenedWatch {
  readonly id: TaskIdParts
  /** Its first `next` is answered at once. Null when the reader has seen the end, and the task still stands there. */
  readonly watch: Pick<Watch, 'next' | 'stop'> | null
}

/**
 * Begins to follow a task, for every door. Whoever got a watch must call its `stop`.
 *
 * Throws TASK_NOT_FOUND, the same for ids that were never given out, are damaged or belong to somebody else; TASK_GONE
 * past retention; OVERLOADED beyond `http.watchersMax` and `http.watchersPerPrincipalMax`; STOPPING; STORE_BEHIND and
 * STORE_UNAVAILABLE.
 */
export type OpenWatch = (text: string, principal: string, after: Position) => Promise<OpenedWatch>

export interface WatchingParts {
  readonly ids: TaskIds
  readonly replies: Replies
  readonly readTask: ReadTask
  /** Null where nobody's share is bounded. */
  readonly slots: PrincipalSlots | null
  readonly watchersMax: number
  readonly stopping: () => boolean
  readonly clock: Clock
  readonly retentionMs: number
}

export function createOpenWatch(parts: WatchingParts): OpenWatch {
  const { ids, replies, readTask, slots, watchersMax, stopping, clock, retentionMs } = parts
  return async (text, principal, after) => {
    const id = ids.read(text, principal)
    if (id === null) throw taskNotFound()
    if (stopping()) throw new ForebayError('STOPPING', 'This server is stopping; follow the task at another.')
    if (slots !== null && !slots.take(principal)) throw tooMany('http.watchersPerPrincipalMax', slots.max)
    const inner = replies.watch(id, after.kind === 'output' ? after.offset : -1)
    if (inner === null) {
      slots?.free(principal)
      throw tooMany('http.watchersMax', watchersMax)
    }
    const watch = new OpenedAt(inner, slots, principal)
    try {
      const first = await inner.next()
      if (first === null) throw new ForebayError('STOPPING', 'This server is stopping; follow the task at another.')
      const view = inner.standing
      refuseUnreadable(id, view, principal, clock.wallMs(), retentionMs)
      if (after.kind === 'end' && view?.finishedAtMs != null && view.generation <= after.generation) {
        watch.stop()
        return { id, watch: null }
      }
      // Nobody may be there to end it; the end that this publishes is heard like any other.
      if (view === null && clock.wallMs() > id.deadlineAtMs + EXPIRED_GRACE_MS) await readTask(text, principal, 0)
      const isNewLife = after.kind === 'end' && view !== null && view.generation > after.generation
      const { generation, attempts } = view ?? { generation: 0, attempts: 0 }
      watch.begin(isNewLife ? [{ kind: 'restart', generation, attempts }, ...first] : first)
      return { id, watch }
    } catch (thrown) {
      watch.stop()
      throw thrown
    }
  }
}

/** A watch whose first events were read already, and that gives back its principal's place. */
class OpenedAt implements Pick<Watch, 'next' | 'stop'> {
  readonly #inner: Watch
  #slots: PrincipalSlots | null
  readonly #principal: string
  #first: readonly WatchEvent[] | null = null

  constructor(inner: Watch, slots: PrincipalSlots | null, principal: string) {
    this.#inner = inner
    this.#slots = slots
    this.#principal = principal
  }

  begin(first: readonly WatchEvent[]): void {
    this.#first = first
  }

  next(): Promise<readonly WatchEvent[] | null> {
    const first = this.#first
    if (first === null) return this.#inner.next()
    this.#first = null
    return Promise.resolve(first)
  }

  stop(): void {
    this.#first = null
    this.#inner.stop()
    this.#slots?.free(this.#principal)
    this.#slots = null
  }
}

function tooMany(option: string, limit: number): ForebayError {
  return new ForebayError(
    'OVERLOADED',
    `As many tasks are followed at this gateway as may be (${option}: ${limit}); ask another, or again soon.`,
    { members: { option, limit }, retryAfterS: 1 },
  )
}

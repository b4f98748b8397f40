import type { TaskIdParts } from '../accept/task-id.ts'
import type { Outputs, OutputsRequest } from '../store/outputs.ts'
import type { RecordedEntry } from '../store/store.ts'
import {
  countsAfter,
  isEndState,
  type Note,
  type Output,
  type OutputHead,
  type Result,
  type TaskState,
} from '../task.ts'
import type { TaskView, Watch, WatchEvent } from './replies.ts'
import { viewOf, viewOfNote } from './views.ts'

/** What a watch needs of the gateway around it. */
export interface WatchSource {
  readonly outputs: Outputs | null
  /** What the store knows of the task; the first time once it has read the lane as far as it reaches now. */
  look(id: TaskIdParts, first: boolean): Promise<LookedAt | null>
  /** Once, when it is over: nothing is to be told to it any more. */
  over(watch: TaskWatch): void
}

export interface LookedAt {
  readonly view: TaskView
  /** When it came to stand so. Wall time, ms since 1970. */
  readonly atMs: number
}

/**
 * One who follows a task. It hears what the store has taken (`hear`), and reads from the store what was before it came and
 * whatever it could not hold: a slow reader costs reads, never memory.
 *
 * It hears from before its first look on, so nothing falls between the two; what comes by both ways is told once, as
 * offsets grow. Results are told apart in the same way: if the look finds no end, the first result heard is the first there is.
 */
export class TaskWatch implements Watch {
  readonly id: TaskIdParts
  standing: TaskView | null = null
  readonly #source: WatchSource
  /** Offset of the last output told, or from which on the reader wants to hear. */
  #last: number
  #head: OutputHead | null = null
  #generation = 0
  #told: ToldState | null = null
  #looked = false
  /** There is something in the store that was not read yet. */
  #behind = true
  #heard: RecordedEntry[] = []
  #heardBytes = 0
  #over = false
  #stopped = false
  #wake: (() => void) | null = null

  constructor(id: TaskIdParts, after: number, source: WatchSource) {
    this.id = id
    this.#last = after
    this.#source = source
  }

  async next(): Promise<readonly WatchEvent[] | null> {
    this.standing = null
    while (!this.#over) {
      const events = this.#behind ? await this.#catchUp() : this.#takeHeard()
      if (this.#stopped) return null
      if (events.length > 0) return events
      if (!this.#behind && this.#heard.length === 0) await this.#untilWoken()
    }
    return null
  }

  stop(): void {
    if (!this.#over) this.#end()
    this.#stopped = true
    this.#wake?.()
  }

  hear(entry: RecordedEntry): void {
    // The next look at the store will find it.
    if (this.#behind) return
    this.#heard.push(entry)
    this.#heardBytes += bytesOf(entry)
    if (this.#heard.length > HEARD_MAX || this.#heardBytes > HEARD_BYTES_MAX) this.#fallBehind()
    this.#wake?.()
  }

  #fallBehind(): void {
    this.#behind = true
    this.#heard = []
    this.#heardBytes = 0
  }

  #untilWoken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null
        resolve()
      }
    })
  }

  #end(): void {
    this.#over = true
    this.#heard = []
    this.#source.over(this)
  }

  /** The look at the task goes before that at its outputs: where the first shows an end, the second shows all. */
  async #catchUp(): Promise<readonly WatchEvent[]> {
    const first = !this.#looked
    this.#looked = true
    this.#behind = false
    const events: WatchEvent[] = []
    try {
      const looked = await this.#source.look(this.id, first)
      const view = looked?.view ?? null
      this.standing = view
      const request: OutputsRequest = { taskId: this.id.id, after: this.#last, bytesMax: PAGE_BYTES_MAX }
      const kept = (await this.#source.outputs?.read(request)) ?? null
      if (view !== null && view.generation > this.#generation) this.#generation = view.generation
      const ended = view !== null && isEndState(view.state)
      if (view?.state === 'dead' && kept?.generation !== view.generation && (await this.#livesAgain(view))) {
        this.#fallBehind()
        return events
      }
      if (!ended) this.#tellState(view, looked?.atMs ?? 0, events)
      if (kept !== null && kept.generation === this.#generation) {
        if (this.#last >= 0 && kept.beganAt > this.#last) {
          events.push({ kind: 'restart', generation: kept.generation, attempts: kept.attempts })
        }
        for (const { offset, chunks, atMs, content } of kept.outputs) {
          events.push({ kind: 'output', offset, attempts: kept.attempts, chunks, atMs, content })
          this.#last = offset
        }
        // A store that is being filled again may not have come as far as we have.
        if (kept.outputs.length > 0 || this.#head === null) this.#head = kept.head
        if (kept.more) {
          this.#fallBehind()
          return events
        }
      }
      if (ended) {
        events.push({ kind: 'end', view })
        this.#end()
      }
      return events
    } catch (thrown) {
      this.#looked = !first
      this.#fallBehind()
      throw thrown
    }
  }

  /** What a dead task has said is gone as soon as it has another life: then its end is not the end any more, either. */
  async #livesAgain({ generation }: TaskView): Promise<boolean> {
    const looked = await this.#source.look(this.id, false)
    return looked !== null && looked.view.generation > generation
  }

  #takeHeard(): readonly WatchEvent[] {
    const heard = this.#heard
    this.#heard = []
    this.#heardBytes = 0
    const events: WatchEvent[] = []
    for (const entry of heard) {
      if (entry.kind === 'output') this.#takeOutput(entry.output, entry.offset, events)
      else if (entry.kind === 'note') this.#takeNote(entry.note, events)
      else if (this.#takeResult(entry.result, events)) break
      if (this.#behind) break
    }
    return events
  }

  #takeOutput(output: Output, offset: number, events: WatchEvent[]): void {
    const { generation, attempts, run, chunks, atMs, content } = output
    if (offset <= this.#last || generation < this.#generation) return
    if (!countsAfter(this.#head, output)) {
      // What should lie between was not heard: the store has lost it, and reads it again.
      if (run === this.#head?.run && chunks > this.#head.chunks) this.#fallBehind()
      return
    }
    if (this.#head === null ? this.#last >= 0 : this.#head.run !== run)
      events.push({ kind: 'restart', generation, attempts })
    this.#generation = generation
    this.#head = { run, chunks }
    this.#last = offset
    events.push({ kind: 'output', offset, attempts, chunks, atMs, content })
  }

  #takeNote(note: Note, events: WatchEvent[]): void {
    if (note.generation < this.#generation) return
    this.#generation = note.generation
    this.#tellState(viewOfNote(note), note.atMs, events)
  }

  #takeResult(result: Result, events: WatchEvent[]): boolean {
    if (result.generation < this.#generation) return false
    events.push({ kind: 'end', view: viewOf(result) })
    this.#end()
    return true
  }

  /** A note that was overtaken, by the look at the store or by another, is not told any more. */
  #tellState(view: TaskView | null, atMs: number, events: WatchEvent[]): void {
    const { generation = 0, attempts = 0, state = 'pending' } = view ?? {}
    const now: ToldState = { generation, attempts, state, atMs }
    const told = this.#told
    if (told !== null && !isLater(now, told)) return
    this.#told = now
    const isSame = told !== null && told.generation === generation && told.attempts === attempts && told.state === state
    if (!isSame) events.push({ kind: 'state', view })
  }
}

interface ToldState {
  readonly generation: number
  readonly attempts: number
  readonly state: TaskState
  readonly atMs: number
}

/** Attempts begin anew when an operator releases a parked task; clocks of dispatchers differ: either may say it. */
function isLater(now: ToldState, told: ToldState): boolean {
  if (now.generation !== told.generation) return now.generation > told.generation
  if (now.attempts > told.attempts || now.atMs > told.atMs) return true
  return now.attempts === told.attempts && now.atMs === told.atMs && rankOf(now) > rankOf(told)
}

function rankOf({ state }: ToldState): number {
  return RANKS.indexOf(state)
}

/** What an entry holds in memory while nobody asks for it. */
function bytesOf(entry: RecordedEntry): number {
  if (entry.kind === 'note') return 0
  if (entry.kind === 'result') return entry.result.end.state === 'succeeded' ? entry.result.end.payload.length : 0
  return entry.output.content.kind === 'chunk' ? entry.output.content.payload.length : 0
}

/** In the order in which a task comes to them within one attempt. */
const RANKS: readonly string[] = ['pending', 'running', 'retrying', 'parked']
/** Entries, and bytes of chunks and results, that are held for a reader who does not ask; beyond it they are read from the store. */
const HEARD_MAX = 64
const HEARD_BYTES_MAX = 64 * 1024
/** What is read from the store at once. bytes */
const PAGE_BYTES_MAX = 128 * 1024

import { countsAfter, type Output, type OutputHead } from '../task.ts'

/** What a store holds of a task, as far as it decides which of its outputs count. */
export interface KnownOfTask {
  /** Of what results and notes tell; -1 where they tell nothing. */
  readonly generation: number
  readonly ended: boolean
  /** Where what it has said stands; null where nothing is kept. */
  readonly stream: KnownStream | null
}

export interface KnownStream extends OutputHead {
  readonly generation: number
}

/** What a batch changes of what is kept of one task. */
export interface StreamChange {
  readonly taskId: string
  /** A new run: what was kept before goes. */
  readonly anew: boolean
  readonly generation: number
  /** Of the first output that counted. */
  readonly attempts: number
  /** Offset of the first output that counted; with `anew` the run begins there. */
  readonly beganAt: number
  readonly head: OutputHead
  /** Of the last output that counted. */
  readonly atMs: number
  readonly chunks: readonly OutputAt[]
  /** Takes the place of the progress that was kept before; null leaves that as it is. */
  readonly progress: OutputAt | null
}

export interface OutputAt {
  readonly offset: number
  readonly output: Output
}

/**
 * Of one batch of a lane, what counts of what its tasks say. It is told all from the store's position on, in the order of
 * the lane; what follows the last output of a task decides nothing about it.
 */
export class OutputFold {
  readonly #known: (taskId: string) => KnownOfTask
  readonly #tasks = new Map<string, TaskSoFar>()

  /** `known`: as the store holds it before the batch; asked once for each task that says something. */
  constructor(known: (taskId: string) => KnownOfTask) {
    this.#known = known
  }

  /** A result (`ended`) or a note. */
  fact(taskId: string, generation: number, ended: boolean): void {
    const task = this.#tasks.get(taskId)
    if (task === undefined) {
      this.#tasks.set(taskId, { generation, ended, isLookedUp: false, stream: null, change: null })
    } else if (generation > task.generation) {
      task.generation = generation
      task.ended = ended
    } else if (generation === task.generation) {
      task.ended ||= ended
    }
  }

  output(offset: number, output: Output): void {
    const { taskId, generation, attempts, run, chunks, atMs, content } = output
    const task = this.#lookUp(taskId)
    if (generation < task.generation || (generation === task.generation && task.ended)) return
    const { stream } = task
    if (stream !== null && generation < stream.generation) return
    const head = stream?.generation === generation ? stream : null
    if (!countsAfter(head, output)) return
    const anew = head === null || head.run !== run
    task.stream = { generation, run, chunks }
    if (anew || task.change === null) {
      const nothing = { chunks: [], progress: null }
      task.change = { taskId, anew, generation, attempts, beganAt: offset, head: task.stream, atMs, ...nothing }
    }
    const { change } = task
    change.head = { run, chunks }
    change.atMs = atMs
    if (content.kind === 'chunk') change.chunks.push({ offset, output })
    else change.progress = { offset, output }
  }

  *changes(): Generator<StreamChange, undefined> {
    for (const { change } of this.#tasks.values()) if (change !== null) yield change
    return undefined
  }

  #lookUp(taskId: string): TaskSoFar {
    const met = this.#tasks.get(taskId)
    if (met?.isLookedUp) return met
    const { generation, ended, stream } = this.#known(taskId)
    this.fact(taskId, generation, ended)
    const task = this.#tasks.get(taskId)!
    task.isLookedUp = true
    task.stream = stream
    return task
  }
}

interface TaskSoFar {
  generation: number
  ended: boolean
  isLookedUp: boolean
  stream: KnownStream | null
  change: Changing | null
}

interface Changing extends StreamChange {
  head: OutputHead
  atMs: number
  readonly chunks: OutputAt[]
  progress: OutputAt | null
}

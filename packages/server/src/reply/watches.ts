import type { RecordedEntry } from '../store/store.ts'
import type { TaskWatch } from './task-watch.ts'

/** Who follows which task, bounded. */
export class Watches {
  readonly #max: number
  readonly #onCount: (count: number) => void
  readonly #byTask = new Map<string, TaskWatch | Set<TaskWatch>>()
  #count = 0

  constructor(max: number, onCount: (count: number) => void) {
    this.#max = max
    this.#onCount = onCount
  }

  get full(): boolean {
    return this.#count >= this.#max
  }

  add(watch: TaskWatch): void {
    const { id: taskId } = watch.id
    const others = this.#byTask.get(taskId)
    if (others === undefined) this.#byTask.set(taskId, watch)
    else if (others instanceof Set) others.add(watch)
    else this.#byTask.set(taskId, new Set([others, watch]))
    this.#onCount(++this.#count)
  }

  remove(watch: TaskWatch): void {
    const { id: taskId } = watch.id
    const others = this.#byTask.get(taskId)
    if (others === watch) this.#byTask.delete(taskId)
    else if (others instanceof Set && others.delete(watch)) {
      if (others.size === 0) this.#byTask.delete(taskId)
    } else return
    this.#onCount(--this.#count)
  }

  has(taskId: string): boolean {
    return this.#byTask.has(taskId)
  }

  tell(entry: RecordedEntry): void {
    const watching = this.#byTask.get(taskIdOf(entry))
    if (watching === undefined) return
    const compact = compacted(entry)
    if (watching instanceof Set) for (const one of watching) one.hear(compact)
    else watching.hear(compact)
  }

  stopAll(): void {
    for (const watching of [...this.#byTask.values()]) {
      for (const one of watching instanceof Set ? [...watching] : [watching]) one.stop()
    }
  }
}

/** A chunk may be a small piece of a large fetch, which a slow reader must not keep in memory. */
function compacted(entry: RecordedEntry): RecordedEntry {
  if (entry.kind !== 'output' || entry.output.content.kind !== 'chunk') return entry
  const { payload } = entry.output.content
  if (payload.buffer.byteLength <= 2 * payload.length + SMALL_BUFFER_BYTES) return entry
  const content = { ...entry.output.content, payload: new Uint8Array(payload) }
  return { ...entry, output: { ...entry.output, content } }
}

/** Not worth a copy. */
const SMALL_BUFFER_BYTES = 1_024

function taskIdOf(entry: RecordedEntry): string {
  if (entry.kind === 'result') return entry.result.taskId
  return entry.kind === 'note' ? entry.note.taskId : entry.output.taskId
}

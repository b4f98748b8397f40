import type { RecordedEntry } from '../store/store.ts'
import type { TaskWatch } from './task-watch.ts'

/** Who follows which task, bounded. */
export class Watches {
  readonly #max: number
  readonly #onCount: (count: number) => void
  readonly #byTask = new Map<string, TaskWatch | TaskWatch[]>()
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
    else if (Array.isArray(others)) others.push(watch)
    else this.#byTask.set(taskId, [others, watch])
    this.#onCount(++this.#count)
  }

  remove(watch: TaskWatch): void {
    const { id: taskId } = watch.id
    const others = this.#byTask.get(taskId)
    if (others === watch) this.#byTask.delete(taskId)
    else if (Array.isArray(others) && others.includes(watch)) {
      if (others.length === 1) this.#byTask.delete(taskId)
      else others.splice(others.indexOf(watch), 1)
    } else return
    this.#onCount(--this.#count)
  }

  has(taskId: string): boolean {
    return this.#byTask.has(taskId)
  }

  tell(entry: RecordedEntry): void {
    const watching = this.#byTask.get(taskIdOf(entry))
    if (watching === undefined) return
    if (Array.isArray(watching)) for (const one of [...watching]) one.hear(entry)
    else watching.hear(entry)
  }

  stopAll(): void {
    for (const watching of [...this.#byTask.values()]) {
      for (const one of Array.isArray(watching) ? [...watching] : [watching]) one.stop()
    }
  }
}

function taskIdOf(entry: RecordedEntry): string {
  if (entry.kind === 'result') return entry.result.taskId
  return entry.kind === 'note' ? entry.note.taskId : entry.output.taskId
}

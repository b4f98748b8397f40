import type { Store } from '../store.ts'
import { entries, TOPIC } from './contract-place.ts'
import { chunk } from './output-place.ts'

export const CHILD_STREAM = 'stream'
/** Where the child says it, away from its results. */
export const CHILD_STREAM_PARTITION = 1

/** Says one chunk of a long stream with each step, from the stored position on. */
export class OutputChild {
  readonly #store: Store
  #next: number

  constructor(store: Store, next: number) {
    this.#store = store
    this.#next = next
  }

  async step(): Promise<void> {
    const offset = this.#next++
    const said = entries(offset, chunk(CHILD_STREAM, offset + 1, `chunk ${offset}`))
    const batch = { topic: TOPIC, partition: CHILD_STREAM_PARTITION, next: offset + 1, entries: said }
    await this.#store.apply({ ...batch, from: offset === 0 ? null : offset })
  }
}

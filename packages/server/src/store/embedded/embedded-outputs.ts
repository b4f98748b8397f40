import type { KeptOutputs, Outputs, OutputsRequest } from '../outputs.ts'
import type { RunningStore } from './embedded.ts'
import { unpackOutputs } from './output-lookups.ts'

/** What tasks have said, in the store's file. */
export class EmbeddedOutputs implements Outputs {
  /** Throws CLOSED. */
  readonly #opened: () => RunningStore

  constructor(opened: () => RunningStore) {
    this.#opened = opened
  }

  async read(request: OutputsRequest): Promise<KeptOutputs | null> {
    const found = await this.#opened().thread.call('readOutputs', request)
    return found === null ? null : unpackOutputs(found)
  }
}

import type { Output, Progress } from '@forebay/protocol'
import type { OutputLine } from './run-output.ts'

/** What the runs of one session have said since its last frame. */
export class SessionOutput implements OutputLine {
  chunkBytesMax = 0
  chunkWindowBytes = 0
  readonly #onSaid: () => void
  #outputs: Output[] = []
  readonly #progress = new Map<number, Progress>()

  constructor(onSaid: () => void) {
    this.#onSaid = onSaid
  }

  chunk(output: Output): void {
    this.#outputs.push(output)
    this.#onSaid()
  }

  progress(lease: number, progress: Progress): void {
    this.#progress.set(lease, progress)
    this.#onSaid()
  }

  /** All of it, to be put into frames now. */
  take(): readonly Output[] {
    if (this.#outputs.length === 0 && this.#progress.size === 0) return NOTHING
    const outputs = this.#outputs
    this.#outputs = []
    for (const [lease, value] of this.#progress) {
      outputs.push({ $typeName: 'forebay.worker.v1.Output', lease, content: { case: 'progress', value } })
    }
    this.#progress.clear()
    return outputs
  }
}

const NOTHING: readonly Output[] = []

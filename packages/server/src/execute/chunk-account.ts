import { CHUNKS_BYTES_MAX, CHUNKS_MAX, type Outcome } from '../task.ts'

/** What the chunks of one attempt have come to, against the limits of an attempt. */
export class ChunkAccount {
  /** Handed on and not known to be durable. */
  roadBytes = 0
  /** Durable by now. */
  kept = 0
  #chunks = 0
  #bytes = 0

  /** Counts one more in, on its way. A sentence when that is more than one attempt may say. */
  take(bytes: number): string | null {
    this.#chunks++
    this.#bytes += bytes
    this.roadBytes += bytes
    if (this.#chunks > CHUNKS_MAX) return `The attempt has more than the ${CHUNKS_MAX} chunks that are allowed.`
    if (this.#bytes <= CHUNKS_BYTES_MAX) return null
    return `The attempt's chunks have together more than the ${CHUNKS_BYTES_MAX} bytes that are allowed.`
  }

  /** One that was taken is no longer on its way. */
  settled(bytes: number, isKept: boolean): void {
    this.roadBytes -= bytes
    if (isKept) this.kept++
  }
}

/** Another attempt would say as much: an operator should see it. */
export function outputTooLarge(message: string, worker: string): Outcome {
  return { kind: 'failed', code: 'OUTPUT_TOO_LARGE', message, then: 'dead', worker }
}

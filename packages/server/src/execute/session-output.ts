import type { Chunk, Progress, Output as WireOutput } from '@forebay/protocol'
import { isMediaType, MEDIA_TYPE_DEFAULT } from '../media-type.ts'
import {
  type Attempt,
  CHUNK_BYTES_MAX,
  CHUNKS_WINDOW_BYTES,
  type Outcome,
  PROGRESS_MESSAGE_BYTES_MAX,
} from '../task.ts'
import { protocolFault } from './attempt-outcome.ts'
import { ChunkAccount, outputTooLarge } from './chunk-account.ts'
import { cutText } from './cut-text.ts'

/** Who said it. */
export interface Speaker {
  readonly lease: number
  readonly attempt: Attempt
  /** Null until its first chunk. */
  chunks: ChunkAccount | null
}

/** What follows from an output, where it was not simply taken. */
export type OutputFault =
  /** The attempt said more than it may, or nonsense. */
  | { readonly ends: 'attempt'; readonly outcome: Outcome }
  /** The worker does not hold to the flow control that all its attempts share a memory by. */
  | { readonly ends: 'session'; readonly message: string }

export interface SessionOutputSteps {
  /** So many chunks of this lease are durable by now. */
  kept(lease: number, chunks: number): void
  /** Read nothing more of this worker until `resume`. */
  pause(): void
  resume(): void
}

/**
 * The partial output that comes in by one session, checked and handed on. What waits for the log is bounded for each
 * attempt, by the worker's own manners, and for the session, by reading no further: many attempts make much.
 */
export class SessionOutput {
  readonly #steps: SessionOutputSteps
  #heldBytes = 0
  #paused = false

  constructor(steps: SessionOutputSteps) {
    this.#steps = steps
  }

  /** Whether this server has stopped reading, so that the worker's silence is no sign. */
  get paused(): boolean {
    return this.#paused
  }

  take(speaker: Speaker, { content }: WireOutput, worker: string): OutputFault | null {
    if (content.case === 'chunk') return this.#takeChunk(speaker, content.value, worker)
    if (content.case === 'progress') tellProgress(speaker.attempt, content.value)
    // Anything else is of a later version of the protocol.
    return null
  }

  #takeChunk(speaker: Speaker, { payload, contentType }: Chunk, worker: string): OutputFault | null {
    const bytes = payload.byteLength
    if (bytes > CHUNK_BYTES_MAX) {
      return { ends: 'session', message: `A chunk has ${bytes} bytes; at most ${CHUNK_BYTES_MAX} are allowed.` }
    }
    const type = contentType === '' ? MEDIA_TYPE_DEFAULT : contentType
    if (!isMediaType(type)) {
      const message = `The content type ${JSON.stringify(cutText(type, 64))} of a chunk is not a media type.`
      return { ends: 'attempt', outcome: protocolFault(message, worker) }
    }
    speaker.chunks ??= new ChunkAccount()
    const tooMuch = speaker.chunks.take(bytes)
    if (tooMuch !== null) return { ends: 'attempt', outcome: outputTooLarge(tooMuch, worker) }
    if (speaker.chunks.roadBytes > CHUNKS_WINDOW_BYTES) {
      const message = `More than ${CHUNKS_WINDOW_BYTES} bytes of chunks of one lease are on the road.`
      return { ends: 'session', message }
    }
    this.#hold(bytes + CHUNK_BYTES_OVERHEAD)
    void speaker.attempt.output.chunk(payload, type).then((kept) => this.#settled(speaker, bytes, kept))
    return null
  }

  #settled({ lease, chunks }: Speaker, bytes: number, kept: boolean): void {
    this.#release(bytes + CHUNK_BYTES_OVERHEAD)
    chunks!.settled(bytes, kept)
    if (kept) this.#steps.kept(lease, chunks!.kept)
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes
    if (this.#paused || this.#heldBytes <= SESSION_OUTPUT_BYTES_MAX) return
    this.#paused = true
    this.#steps.pause()
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes
    if (!this.#paused || this.#heldBytes > SESSION_OUTPUT_BYTES_MAX / 2) return
    this.#paused = false
    this.#steps.resume()
  }
}

/** A fraction that is no number is one that nobody knows; one beyond 0 to 1 is taken for the nearer end. */
function tellProgress({ output }: Attempt, { fraction, message }: Progress): void {
  const known = fraction !== undefined && Number.isFinite(fraction)
  output.progress(known ? Math.min(1, Math.max(0, fraction)) : null, cutText(message, PROGRESS_MESSAGE_BYTES_MAX))
}

/** Chunks of one session that wait for the log, beyond which nothing more is read of it. bytes */
export const SESSION_OUTPUT_BYTES_MAX = 16 * 1024 * 1024

/** What a chunk weighs beside its payload, roughly. */
const CHUNK_BYTES_OVERHEAD = 256

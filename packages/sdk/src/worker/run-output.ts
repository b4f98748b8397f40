import type { Chunk, Output, Progress } from '@forebay/protocol'
import { BYTES_TYPE, type EncodedBody, encodeBody } from '../body.ts'
import { DeadError } from './errors.ts'

/** A session, as far as the partial output of its runs goes by it. */
export interface OutputLine {
  /** Of one chunk; 0 where the server takes no partial output. */
  readonly chunkBytesMax: number
  /** Of one run's chunks that are sent and not known to be durable. */
  readonly chunkWindowBytes: number
  chunk(output: Output): void
  /** The last of several before the next frame counts. */
  progress(lease: number, progress: Progress): void
}

/** What one run says before its end: held back while too much of it is on the road. */
export class RunOutput {
  readonly #line: OutputLine
  readonly #lease: number
  /** Of every chunk sent, the durable ones first. */
  readonly #sentBytes: number[] = []
  #kept = 0
  #roadBytes = 0
  #waiting: WaitingChunk[] = []
  #onSent: () => void = () => {}
  #over: Error | null = null

  constructor(line: OutputLine, lease: number) {
    this.#line = line
    this.#lease = lease
  }

  get taken(): boolean {
    return this.#line.chunkBytesMax > 0
  }

  progress(fraction: number | null, message: string): void {
    if (this.#over !== null || !this.taken) return
    const progress: Progress = {
      $typeName: 'forebay.worker.v1.Progress',
      message: String(message).slice(0, MESSAGE_CHARS_MAX).toWellFormed(),
    }
    if (fraction !== null && Number.isFinite(fraction)) progress.fraction = Math.min(1, Math.max(0, fraction))
    this.#line.progress(this.#lease, progress)
  }

  chunk(encode: () => EncodedBody): Promise<void> {
    const sent = this.#send(encode)
    // A handler that does not wait for it must not bring the whole worker down.
    sent.catch(() => {})
    return sent
  }

  /** So many chunks are durable. */
  kept(chunks: number): void {
    const kept = Math.min(chunks, this.#sentBytes.length)
    while (this.#kept < kept) this.#roadBytes -= this.#sentBytes[this.#kept++]!
    while (this.#waiting.length > 0 && this.#hasRoom(this.#waiting[0]!.chunk)) {
      const { chunk, resolve } = this.#waiting.shift()!
      this.#put(chunk)
      resolve()
    }
    if (this.#waiting.length === 0) this.#onSent()
  }

  /** Resolves once all chunks are on their way, or nobody waits for them any more. */
  async allSent(): Promise<void> {
    if (this.#waiting.length === 0) return
    await new Promise<void>((resolve) => {
      this.#onSent = resolve
    })
  }

  /** Takes nothing more; chunks that wait are refused with `why`. */
  end(why: Error): void {
    if (this.#over !== null) return
    this.#over = why
    for (const { reject } of this.#waiting.splice(0)) reject(why)
    this.#onSent()
  }

  async #send(encode: () => EncodedBody): Promise<void> {
    if (this.#over !== null) throw this.#over
    if (!this.taken) throw new Error('This server takes no partial output: it is older than this worker.')
    const { bytes, contentType } = encode()
    const bytesMax = Math.min(this.#line.chunkBytesMax, this.#line.chunkWindowBytes)
    if (bytes.length > bytesMax) {
      throw new DeadError(`A chunk has ${bytes.length} bytes, the server takes at most ${bytesMax}.`)
    }
    const chunk: Chunk = {
      $typeName: 'forebay.worker.v1.Chunk',
      payload: bytes,
      contentType: contentType === BYTES_TYPE ? '' : contentType,
    }
    if (this.#waiting.length === 0 && this.#hasRoom(chunk)) this.#put(chunk)
    else await new Promise<void>((resolve, reject) => this.#waiting.push({ chunk, resolve, reject }))
  }

  #hasRoom({ payload }: Chunk): boolean {
    return this.#roadBytes + payload.length <= this.#line.chunkWindowBytes
  }

  #put(chunk: Chunk): void {
    this.#sentBytes.push(chunk.payload.length)
    this.#roadBytes += chunk.payload.length
    const content = { case: 'chunk', value: chunk } as const
    this.#line.chunk({ $typeName: 'forebay.worker.v1.Output', lease: this.#lease, content })
  }
}

/** Throws a DeadError for what cannot be sent: no attempt would mend that. */
export function encodeChunk(value: unknown): EncodedBody {
  try {
    const { bytes, contentType } = encodeBody(value)
    // Its own copy: a handler may fill its buffer anew before the frame leaves.
    return { bytes: new Uint8Array(bytes), contentType }
  } catch (thrown) {
    throw new DeadError(`A chunk: ${(thrown as Error).message}`, { cause: thrown })
  }
}

interface WaitingChunk {
  readonly chunk: Chunk
  readonly resolve: () => void
  readonly reject: (why: Error) => void
}

/** The server keeps as many bytes. */
const MESSAGE_CHARS_MAX = 1_024

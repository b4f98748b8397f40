import { type Attempt, CHUNK_BYTES_MAX, CHUNKS_WINDOW_BYTES, type Outcome } from '../task.ts'
import { ChunkAccount, outputTooLarge } from './chunk-account.ts'
import type { TextPieces } from './text-pieces.ts'

export interface StreamedBody {
  readonly body: AsyncIterable<Buffer>
  readonly contentType: string
  readonly pieces: TextPieces
  readonly attempt: Attempt
  /** Whether anybody waits for the outcome still: nothing is said after that. */
  isOpen(): boolean
  readonly resultBytesMax: number
  readonly worker: string
}

/**
 * Reads an answer that comes piece by piece: each is a chunk of the attempt's output, and the body is read no faster
 * than the log takes them. The result is the body as it is, or `{"chunks": n}` where that is larger than a result can be.
 * Rejects when the body breaks off.
 */
export async function readPieces(streamed: StreamedBody): Promise<Outcome> {
  const { body, contentType, pieces, attempt, isOpen, resultBytesMax, worker } = streamed
  const road = new ChunkRoad(attempt, pieces.contentType)
  const decoder = new TextDecoder()
  let parts: Buffer[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.byteLength
    if (bytes > resultBytesMax) parts = []
    else parts.push(part)
    for (const piece of pieces.push(decoder.decode(part, { stream: true }))) {
      if (!isOpen()) return NOBODY_WAITS
      const fault = await road.say(piece)
      if (fault !== null) return outputTooLarge(fault, worker)
    }
    if (pieces.openChars > CHUNK_BYTES_MAX) return outputTooLarge(PIECE_TOO_LARGE, worker)
  }
  for (const piece of pieces.end()) {
    if (!isOpen()) return NOBODY_WAITS
    const fault = await road.say(piece)
    if (fault !== null) return outputTooLarge(fault, worker)
  }
  if (bytes <= resultBytesMax) return { kind: 'succeeded', payload: Buffer.concat(parts), contentType }
  const payload = Buffer.from(JSON.stringify({ chunks: road.chunks }))
  return { kind: 'succeeded', payload, contentType: 'application/json' }
}

/** Chunks of one attempt on their way into the log. */
class ChunkRoad {
  chunks = 0
  readonly #attempt: Attempt
  readonly #contentType: string
  readonly #account = new ChunkAccount()
  #onRoom: () => void = () => {}

  constructor(attempt: Attempt, contentType: string) {
    this.#attempt = attempt
    this.#contentType = contentType
  }

  /** Waits until there is room for the next. A sentence when it cannot be said. */
  async say(piece: string): Promise<string | null> {
    const chunk = Buffer.from(piece)
    const bytes = chunk.byteLength
    if (bytes > CHUNK_BYTES_MAX) return PIECE_TOO_LARGE
    const tooMuch = this.#account.take(bytes)
    if (tooMuch !== null) return tooMuch
    this.chunks++
    void this.#attempt.output.chunk(chunk, this.#contentType).then((kept) => {
      this.#account.settled(bytes, kept)
      this.#onRoom()
    })
    while (this.#account.roadBytes > CHUNKS_WINDOW_BYTES - CHUNK_BYTES_MAX) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve
      })
    }
    return null
  }
}

const PIECE_TOO_LARGE = `A piece of the stream has more than the ${CHUNK_BYTES_MAX} bytes that a chunk may have.`
/** The attempt was ended meanwhile; this goes nowhere. */
const NOBODY_WAITS: Outcome = { kind: 'cancelled' }

import { BinaryWriter } from '@bufbuild/protobuf/wire'
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js'
import { essenceOf, isMediaType } from '../media-type.ts'
import { type Attempt, CHUNK_BYTES_MAX, CHUNKS_WINDOW_BYTES, type Outcome } from '../task.ts'
import { protocolFault } from './attempt-outcome.ts'
import { ChunkAccount, outputTooLarge } from './chunk-account.ts'

export interface StreamedCall {
  readonly call: ClientReadableStream<Buffer>
  readonly attempt: Attempt
  /** Whether anybody waits for the outcome still: nothing is said after that. */
  isOpen(): boolean
  /** A message as a chunk; throws on bytes that are not the method's response. */
  encode(message: Buffer): Buffer
  /** Whether `encode` makes JSON; else messages are protobuf of this media type. */
  readonly isJson: boolean
  readonly contentType: string
  readonly resultBytesMax: number
  readonly worker: string
}

/** What a call came to: an outcome, or a status that is not OK. */
export type Answer =
  | { readonly error: null; readonly outcome: Outcome }
  | { readonly error: ServiceError; readonly outcome: null }

/**
 * Reads the answer of a server-streaming method: each message is a chunk of the attempt's output, and the call is read
 * no faster than the log takes them. The result is all messages as one: a JSON array, or protobuf messages each behind
 * its size; where that is larger than a result can be, `{"chunks": n}`, since they are all there as chunks.
 */
export function readStream(streamed: StreamedCall): Promise<Answer> {
  const { call, attempt, isOpen, encode, contentType, worker } = streamed
  const account = new ChunkAccount()
  const messages = new Messages(streamed.resultBytesMax)
  return new Promise((resolve) => {
    const give = (outcome: Outcome) => {
      resolve({ error: null, outcome })
      call.cancel()
    }
    const settled = (bytes: number, kept: boolean) => {
      account.settled(bytes, kept)
      if (account.roadBytes <= CHUNKS_WINDOW_BYTES / 2) call.resume()
    }
    let over = false
    call.on('data', (bytes: Buffer) => {
      if (over || !isOpen()) return
      const taken = takeMessage(bytes)
      if (typeof taken !== 'string') {
        over = true
        give(taken)
      }
    })
    call.on('end', () => resolve({ error: null, outcome: messages.result(streamed) }))
    // Before 'end' where the status is none that is well.
    call.on('error', (error: ServiceError) => resolve({ error, outcome: null }))

    function takeMessage(bytes: Buffer): Outcome | 'taken' {
      let chunk: Buffer
      try {
        chunk = encode(bytes)
      } catch {
        return protocolFault('A message of the stream is not what the method answers with.', worker)
      }
      const size = chunk.byteLength
      if (size > CHUNK_BYTES_MAX) {
        const message = `A message of the stream has ${size} bytes; at most ${CHUNK_BYTES_MAX} are allowed.`
        return outputTooLarge(message, worker)
      }
      const tooMuch = account.take(size)
      if (tooMuch !== null) return outputTooLarge(tooMuch, worker)
      messages.add(chunk)
      // One that is under way may go beyond the window, which is large enough for two.
      if (account.roadBytes > CHUNKS_WINDOW_BYTES - CHUNK_BYTES_MAX) call.pause()
      void attempt.output.chunk(chunk, contentType).then((kept) => settled(size, kept))
      return 'taken'
    }
  })
}

/** All of them, for as long as they fit a result. */
class Messages {
  readonly #bytesMax: number
  #kept: Buffer[] = []
  #count = 0
  /** With what stands around each. */
  #bytes = LIST_BYTES

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(message: Buffer): void {
    this.#count++
    this.#bytes += message.byteLength + BETWEEN_BYTES
    if (this.#bytes > this.#bytesMax) this.#kept = []
    else this.#kept.push(message)
  }

  result({ isJson, contentType }: StreamedCall): Outcome {
    if (this.#bytes > this.#bytesMax && this.#count > 0) {
      const payload = Buffer.from(JSON.stringify({ chunks: this.#count }))
      return { kind: 'succeeded', payload, contentType: 'application/json' }
    }
    if (isJson) {
      const list = this.#kept.flatMap((message, index) => (index === 0 ? [message] : [COMMA, message]))
      return { kind: 'succeeded', payload: Buffer.concat([OPEN, ...list, CLOSE]), contentType }
    }
    const writer = new BinaryWriter()
    for (const message of this.#kept) writer.bytes(message)
    return { kind: 'succeeded', payload: writer.finish(), contentType: delimited(contentType) }
  }
}

/** As protobuf's own libraries read and write them: `writeDelimitedTo`, `parseDelimitedFrom`. */
function delimited(contentType: string): string {
  const named = `${contentType}; encoding=delimited`
  return isMediaType(named) ? named : `${essenceOf(contentType)}; encoding=delimited`
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')
const LIST_BYTES = 2
/** A comma, or the size of a message of 256 KiB. */
const BETWEEN_BYTES = 3

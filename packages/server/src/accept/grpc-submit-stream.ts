import { create } from '@bufbuild/protobuf'
import type { Clock } from '@forebay/broker'
import {
  ForebayError,
  type SubmitStreamRequest,
  SubmitStreamRequestSchema,
  type SubmitStreamResponse,
  SubmitStreamResponseSchema,
} from '@forebay/protocol'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { GrpcAccept } from './grpc-accept.ts'
import { AnswerWriter } from './grpc-calls.ts'
import { readMessage } from './grpc-fields.ts'
import { problemOf } from './grpc-status.ts'
import { submitOf, submitted } from './grpc-submit.ts'

/** Requests of one stream that are on their way into the log; the next one is read when one of them is answered. */
export const SUBMITS_AT_ONCE_MAX = 256
/** The same in bytes; a larger one goes alone. */
export const SUBMITS_BYTES_AT_ONCE_MAX = 8 * 1024 * 1024
/** Streams of one gateway; beyond it OVERLOADED. */
export const SUBMIT_STREAMS_MAX = 1_000

export interface GrpcSubmitStreamParts {
  readonly accept: GrpcAccept
  readonly authenticate: (call: SubmitStreamCall) => string
  readonly clock: Clock
  /** Counts a refusal, and logs what is our fault. */
  readonly refused: (thrown: unknown) => ForebayError
  readonly endCall: (writer: AnswerWriter<SubmitStreamResponse>, thrown: unknown) => void
}

export type SubmitStreamCall = ServerDuplexStream<Uint8Array, SubmitStreamResponse>

/** The open streams of TaskService/SubmitStream. */
export class GrpcSubmitStreams {
  readonly #parts: GrpcSubmitStreamParts
  readonly #open = new Set<SubmitStream>()
  #stopping = false

  constructor(parts: GrpcSubmitStreamParts) {
    this.#parts = parts
  }

  accept(call: SubmitStreamCall): void {
    const writer = new AnswerWriter(call, this.#parts.clock)
    try {
      if (this.#stopping) throw stopping()
      const owner = this.#parts.authenticate(call)
      if (this.#open.size >= SUBMIT_STREAMS_MAX) throw tooMany()
      const stream = new SubmitStream(this.#parts, call, writer, owner)
      this.#open.add(stream)
      call.once('close', () => this.#open.delete(stream))
    } catch (thrown) {
      this.#parts.endCall(writer, thrown)
      call.resume()
    }
  }

  /** What is on its way into the log is answered, what comes after it is not read. */
  stop(): void {
    this.#stopping = true
    for (const stream of this.#open) stream.end(stopping())
  }
}

class SubmitStream {
  readonly #parts: GrpcSubmitStreamParts
  readonly #call: SubmitStreamCall
  readonly #writer: AnswerWriter<SubmitStreamResponse>
  readonly #owner: string
  #running = 0
  #runningBytes = 0
  /** Set once nothing more is read: how the call ends when everything is answered. */
  #ending: { readonly with: ForebayError | null } | null = null

  constructor(
    parts: GrpcSubmitStreamParts,
    call: SubmitStreamCall,
    writer: AnswerWriter<SubmitStreamResponse>,
    owner: string,
  ) {
    this.#parts = parts
    this.#call = call
    this.#writer = writer
    this.#owner = owner
    call.on('data', (bytes: Uint8Array) => this.#received(bytes))
    call.on('drain', () => {
      writer.hasRead()
      this.#pace()
    })
    call.on('end', () => this.end(null))
    call.once('close', () => writer.hasRead())
  }

  /** Ends the stream once what runs is answered. */
  end(error: ForebayError | null): void {
    if (this.#ending !== null) return
    this.#ending = { with: error }
    this.#pace()
    this.#endIfIdle()
  }

  #received(bytes: Uint8Array): void {
    if (this.#ending !== null) return
    let request: SubmitStreamRequest
    try {
      request = readMessage(SubmitStreamRequestSchema, bytes)
    } catch (thrown) {
      // Without its sequence there is nothing to answer to.
      this.end(this.#parts.refused(thrown))
      return
    }
    this.#running++
    this.#runningBytes += bytes.length
    void this.#answerTo(request).then((response) => {
      this.#running--
      this.#runningBytes -= bytes.length
      if (this.#call.destroyed) return
      if (!this.#call.write(response)) this.#writer.expectReading()
      this.#pace()
      this.#endIfIdle()
    })
    this.#pace()
  }

  async #answerTo({ sequence, submit }: SubmitStreamRequest): Promise<SubmitStreamResponse> {
    try {
      const kept = await this.#parts.accept(submitOf(submit), this.#call.metadata, this.#owner, 0)
      const answer = { case: 'submitted', value: submitted(kept, null) } as const
      return create(SubmitStreamResponseSchema, { sequence, answer })
    } catch (thrown) {
      const answer = { case: 'problem', value: problemOf(this.#parts.refused(thrown)) } as const
      return create(SubmitStreamResponseSchema, { sequence, answer })
    }
  }

  /** Reads on only while there is room for what comes, and for its answer; what comes after an end is dropped. */
  #pace(): void {
    const full =
      this.#running >= SUBMITS_AT_ONCE_MAX ||
      this.#runningBytes >= SUBMITS_BYTES_AT_ONCE_MAX ||
      this.#call.writableNeedDrain
    if (full && this.#ending === null) this.#call.pause()
    else this.#call.resume()
  }

  #endIfIdle(): void {
    if (this.#ending === null || this.#running > 0 || this.#call.writableEnded) return
    const { with: error } = this.#ending
    if (error === null) this.#writer.end(null)
    else this.#parts.endCall(this.#writer, error)
  }
}

function stopping(): ForebayError {
  return new ForebayError(
    'STOPPING',
    'This server is stopping; what it has not answered it has not kept. Go on with another.',
  )
}

function tooMany(): ForebayError {
  return new ForebayError('OVERLOADED', `There are ${SUBMIT_STREAMS_MAX} streams already; try again soon.`, {
    members: { limit: SUBMIT_STREAMS_MAX },
  })
}

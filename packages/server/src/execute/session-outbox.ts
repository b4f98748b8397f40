import { create, toBinary } from '@bufbuild/protobuf'
import type { Clock } from '@forebay/broker'
import {
  type CancelReason,
  CancelSchema,
  type SessionResponse,
  SessionResponseSchema,
  type Welcome,
  type Attempt as WireAttempt,
} from '@forebay/protocol'
import type { Attempt } from '../task.ts'

/** An attempt on its way to a worker. */
export interface Outgoing {
  readonly attempt: Attempt
  readonly lease: number
  /** Whether it has left in a frame. */
  sent: boolean
  /** 0 when it has ended meanwhile: no need to send it any more. */
  readonly tick: number
}

/** Where frames go: the writing half of a session's stream. */
export interface FrameSink {
  /** Calls back when the bytes have left this process as far as the reader's flow control goes. */
  write(frame: Buffer, written: (error?: Error | null) => void): unknown
}

/**
 * What a session has to say, gathered until `flush` and then put into as few frames as possible. Stops writing while
 * `UNSENT_BYTES_MAX` are under way, so a worker that does not read costs that much memory and no more.
 *
 * protobuf-es encodes: measured 2.3 µs for an attempt of 512 bytes with a trace header, against 1.7 µs by hand with its
 * own writer.
 */
export class SessionOutbox {
  readonly #sink: FrameSink
  readonly #clock: Clock
  readonly #onUnblocked: () => void
  #next = emptyFrame()
  #attempts: Outgoing[] = []
  /** By lease. */
  readonly #kept = new Map<number, number>()
  #unsentBytes = 0
  #unsentFrames = 0
  #lastWriteMs: number
  #lastProgressMs: number

  /** `onUnblocked`: there is room again; flush. */
  constructor(sink: FrameSink, clock: Clock, onUnblocked: () => void) {
    this.#sink = sink
    this.#clock = clock
    this.#onUnblocked = onUnblocked
    this.#lastWriteMs = clock.monotonicMs()
    this.#lastProgressMs = this.#lastWriteMs
  }

  get blocked(): boolean {
    return this.#unsentBytes >= UNSENT_BYTES_MAX
  }

  /** Refusals that wait for a reader. */
  get refusedWaiting(): number {
    return this.#next.refused.length
  }

  welcome(welcome: Welcome): void {
    this.#next.welcome = welcome
  }

  attempt(outgoing: Outgoing): void {
    this.#attempts.push(outgoing)
  }

  cancel(lease: number, reason: CancelReason): void {
    this.#next.cancels.push(create(CancelSchema, { lease, reason }))
  }

  refuse(lease: number): void {
    this.#next.refused.push(lease)
  }

  /** Of several words on one lease the last says it all. */
  kept(lease: number, chunks: number): void {
    this.#kept.set(lease, chunks)
  }

  drain(): void {
    this.#next.drain = true
  }

  flush(): void {
    while (!this.blocked && this.#hasNews()) this.#write()
  }

  /** Sends an empty frame when nothing has been sent since `silentSinceMs`. */
  heartbeat(silentSinceMs: number): void {
    if (this.#lastWriteMs <= silentSinceMs && !this.blocked) this.#write()
  }

  /** Whether frames are under way that nobody has taken since `sinceMs`. */
  stalled(sinceMs: number): boolean {
    return this.#unsentFrames > 0 && this.#lastProgressMs <= sinceMs
  }

  #hasNews(): boolean {
    const { welcome, cancels, refused, drain } = this.#next
    if (this.#attempts.length > 0 || welcome !== undefined || cancels.length > 0 || refused.length > 0) return true
    return drain || this.#kept.size > 0
  }

  #write(): void {
    const message = this.#next
    this.#next = emptyFrame()
    this.#takeAttempts(message)
    if (this.#kept.size > 0) this.#takeKept(message)
    const bytes = toBinary(SessionResponseSchema, message)
    const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = frame.byteLength + FRAME_BYTES_OVERHEAD
    this.#lastWriteMs = this.#clock.monotonicMs()
    if (this.#unsentFrames === 0) this.#lastProgressMs = this.#lastWriteMs
    this.#unsentBytes += size
    this.#unsentFrames++
    this.#sink.write(frame, (error) => {
      if (error == null) this.#written(size)
    })
  }

  #takeAttempts(message: SessionResponse): void {
    let bytes = 0
    let taken = 0
    while (taken < this.#attempts.length && bytes < FRAME_BYTES) {
      const outgoing = this.#attempts[taken++]!
      if (outgoing.tick === 0) continue
      outgoing.sent = true
      message.attempts.push(wireAttempt(outgoing))
      bytes += outgoing.attempt.task.payload.byteLength + ATTEMPT_BYTES_OVERHEAD
    }
    this.#attempts = taken === this.#attempts.length ? [] : this.#attempts.slice(taken)
  }

  #takeKept(message: SessionResponse): void {
    for (const [lease, chunks] of this.#kept) {
      message.kept.push({ $typeName: 'forebay.worker.v1.Kept', lease, chunks })
    }
    this.#kept.clear()
  }

  #written(size: number): void {
    const wasBlocked = this.blocked
    this.#unsentBytes -= size
    this.#unsentFrames--
    this.#lastProgressMs = this.#clock.monotonicMs()
    if (wasBlocked && !this.blocked) this.#onUnblocked()
  }
}

/** Literals, not `create`: an attempt is the hot path. */
function wireAttempt({ lease, attempt }: Outgoing): WireAttempt {
  const { task } = attempt
  const wire: WireAttempt = {
    $typeName: 'forebay.worker.v1.Attempt',
    lease,
    taskId: task.id,
    number: attempt.number,
    queue: task.queue,
    payload: task.payload,
    contentType: task.contentType,
    headers: task.headers.map(([name, value]) => ({ $typeName: 'forebay.worker.v1.Header', name, value })),
    timeoutMs: Math.min(Math.max(0, Math.round(attempt.timeoutMs)), UINT32_MAX),
  }
  if (task.key !== null) wire.key = task.key
  return wire
}

function emptyFrame(): SessionResponse {
  return {
    $typeName: 'forebay.worker.v1.SessionResponse',
    attempts: [],
    cancels: [],
    refused: [],
    drain: false,
    kept: [],
  }
}

/** A frame is closed when its attempts reach this size; with one more on top it stays below gRPC's usual 4 MiB. bytes */
const FRAME_BYTES = 512 * 1024

/** Bytes under way to one worker beyond which it gets nothing more until it has read. */
const UNSENT_BYTES_MAX = 1024 * 1024

/** What an attempt weighs beside its payload, roughly. */
const ATTEMPT_BYTES_OVERHEAD = 256

/** What a frame weighs even when it is empty: heartbeats to a deaf worker count too. */
const FRAME_BYTES_OVERHEAD = 256

const UINT32_MAX = 0xffffffff

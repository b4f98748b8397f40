import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import type { Clock, Timer } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { AnswerWriter } from '../accept/grpc-calls.ts'
import { badField, readMessage } from '../accept/grpc-fields.ts'

/** Whoever has been silent for so long says something. ms */
export const HEARTBEAT_MS = 5_000
/** Silence longer than this ends a stream, and a member's seat in its group with it. ms */
export const LEASE_MS = 15_000
/** What may be on its way to one stream. bytes */
export const CREDITS_MAX = 16 * 1024 * 1024
/** A frame is closed once it holds so much. bytes */
export const FRAME_BYTES = 512 * 1024

export const LIVENESS = { heartbeatMs: HEARTBEAT_MS, leaseMs: LEASE_MS }

export interface PacedStreamParts<Request extends DescMessage, Response> {
  readonly call: ServerDuplexStream<Uint8Array, Response>
  readonly schema: Request
  /** One that says nothing. */
  readonly empty: Response
  readonly clock: Clock
  /** Throws the refusal, which ends the stream. */
  readonly received: (message: MessageShape<Request>) => void
  /** Once: the caller half-closed (null), broke a rule, fell silent or is gone. */
  readonly over: (why: ForebayError | null) => void
}

/** One stream of records to a caller: no more than it gave credits for, and only for as long as it is heard. */
export class PacedStream<Request extends DescMessage, Response> {
  readonly writer: AnswerWriter<Response>
  readonly #parts: PacedStreamParts<Request, Response>
  #credits = 0
  #heardAtMs: number
  #saidAtMs: number
  #timer: Timer | null = null
  #roomMade: (() => void) | null = null
  #over = false

  constructor(parts: PacedStreamParts<Request, Response>) {
    const { call, clock, schema, received } = parts
    this.#parts = parts
    this.writer = new AnswerWriter(call, clock)
    this.#heardAtMs = clock.monotonicMs()
    this.#saidAtMs = this.#heardAtMs
    call.on('data', (bytes: Uint8Array) => {
      this.#heardAtMs = clock.monotonicMs()
      if (this.#over) return
      try {
        received(readMessage(schema, bytes))
      } catch (thrown) {
        this.end(thrown as ForebayError)
      }
    })
    call.on('end', () => this.end(null))
    call.once('close', () => this.end(null))
    this.#beatLater()
  }

  get over(): boolean {
    return this.#over
  }

  grant(bytes: number): void {
    this.#credits = Math.min(CREDITS_MAX, this.#credits + bytes)
    if (this.#credits > 0) this.#wake()
  }

  /** Resolves true when something may be sent, false when the stream is over. */
  async room(): Promise<boolean> {
    while (this.#credits <= 0 && !this.#over) await new Promise<void>((resolve) => (this.#roomMade = resolve))
    return !this.#over
  }

  /** At once; for what costs nothing. */
  say(response: Response): void {
    if (this.#parts.call.destroyed || this.#parts.call.writableEnded) return
    this.#saidAtMs = this.#parts.clock.monotonicMs()
    this.#parts.call.write(response)
  }

  /** Resolves once the caller has taken it. */
  async send(response: Response, cost: number): Promise<void> {
    this.#credits -= cost
    this.#saidAtMs = this.#parts.clock.monotonicMs()
    await this.writer.send([response])
  }

  /** Nothing is read or sent any more; how the call ends is for `over` to do. */
  end(why: ForebayError | null): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    this.#wake()
    this.#parts.call.resume()
    this.#parts.over(why)
  }

  #wake(): void {
    this.#roomMade?.()
    this.#roomMade = null
  }

  #beatLater(): void {
    const { clock, empty } = this.#parts
    this.#timer = clock.timer(HEARTBEAT_MS / 2, () => {
      const nowMs = clock.monotonicMs()
      if (nowMs - this.#heardAtMs > LEASE_MS) {
        this.end(new ForebayError('REQUEST_TIMEOUT', `Nothing was heard of the caller for ${LEASE_MS} ms.`))
        return
      }
      if (nowMs - this.#saidAtMs >= HEARTBEAT_MS / 2) this.say(empty)
      this.#beatLater()
    })
  }
}

/** Cuts records into frames, in their order. */
export function* framesOf<Item>(
  items: readonly Item[],
  costOf: (item: Item) => number,
): Generator<{ readonly items: readonly Item[]; readonly cost: number }> {
  let from = 0
  let cost = 0
  for (let at = 0; at < items.length; at++) {
    cost += costOf(items[at]!)
    if (cost < FRAME_BYTES && at < items.length - 1) continue
    yield { items: items.slice(from, at + 1), cost }
    from = at + 1
    cost = 0
  }
}

/** The first message, and no other, says what the stream is for. */
export function checkStart(started: boolean, given: object | undefined): void {
  if (started && given !== undefined) throw badField('start', 'start came twice; open another stream.')
  if (!started && given === undefined) throw badField('start', 'The first message has no start.')
}

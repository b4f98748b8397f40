import { ForebayError } from '@forebay/protocol'
import { type ClientDuplexStream, type StatusObject, status } from '@grpc/grpc-js'
import { backoffMs } from '../backoff.ts'
import type { Timer } from '../clock.ts'
import { closed, failureOf, type Link } from './link.ts'
import type { ResolvedRemote } from './options.ts'

/** How long `close` waits for the server to have stored what there is to store. ms */
const CLOSE_WITHIN_MS = 5_000
/** Until the server has said what it wants. ms */
const HEARTBEAT_MS_FIRST = 5_000
const LEASE_MS_FIRST = 15_000

export interface StandingStreamParts<Request, Response> {
  readonly link: Link
  readonly options: ResolvedRemote
  readonly method: 'Consume' | 'Listen'
  /** The first message, made anew for each connection. */
  readonly first: () => Request
  /** One that says nothing. */
  readonly empty: Request
  readonly received: (response: Response) => void
  /** The stream is over, and another one will come. */
  readonly broken: (why: ForebayError) => void
  /** The server will not have it: no other will come. */
  readonly failed: (why: ForebayError) => void
}

/** A stream to the server that is made anew whenever it breaks, until it is closed or refused for good. */
export class StandingStream<Request, Response> {
  readonly #parts: StandingStreamParts<Request, Response>
  readonly #closing = new AbortController()
  readonly #running: Promise<void>
  #call: ClientDuplexStream<Request, Response> | null = null
  #heartbeatMs = HEARTBEAT_MS_FIRST
  #leaseMs = LEASE_MS_FIRST
  #heard = false
  #sentAtMs = 0
  #heardAtMs = 0
  #failures = 0

  constructor(parts: StandingStreamParts<Request, Response>) {
    this.#parts = parts
    this.#running = this.#run()
  }

  /** What the server has said of the liveness it expects; also a sign that all is well. */
  started(liveness: { readonly heartbeatMs: number; readonly leaseMs: number } | undefined): void {
    this.#failures = 0
    if (liveness === undefined) return
    this.#heartbeatMs = Math.max(1, liveness.heartbeatMs)
    this.#leaseMs = Math.max(1, liveness.leaseMs)
  }

  /** Dropped while there is no stream. */
  send(request: Request): void {
    if (this.#call === null) return
    this.#sentAtMs = this.#parts.options.clock.monotonicMs()
    this.#call.write(request)
  }

  /** Says what `last` says and leaves. Resolves when the server has ended the stream, or is not heard any more. */
  async close(last: Request): Promise<void> {
    if (this.#closing.signal.aborted) return this.#running
    this.send(last)
    this.#closing.abort(closed())
    const call = this.#call
    // A server that was not heard has nothing to store.
    if (this.#heard) call?.end()
    else call?.cancel()
    const timer = this.#parts.options.clock.timer(CLOSE_WITHIN_MS, () => call?.cancel())
    await this.#running
    timer.cancel()
  }

  async #run(): Promise<void> {
    const { options, broken, failed } = this.#parts
    for (;;) {
      const why = await this.#stream()
      if (this.#closing.signal.aborted) return
      if (!worthAnotherTry(why)) {
        failed(why)
        return
      }
      broken(why)
      const waitMs = backoffMs(RECONNECT_BACKOFF, this.#failures++, options.random)
      await options.clock.sleep(waitMs, this.#closing.signal).catch(() => {})
      if (this.#closing.signal.aborted) return
    }
  }

  /** One stream, from beginning to end; resolves with why it ended. */
  #stream(): Promise<ForebayError> {
    const { link, method, first, received, options } = this.#parts
    const { clock, server } = options
    const call = link.stream<Request, Response>(method)
    let silent = false
    this.#call = call
    this.#heard = false
    this.#heardAtMs = clock.monotonicMs()
    this.send(first())
    call.on('data', (response: Response) => {
      this.#heard = true
      this.#heardAtMs = clock.monotonicMs()
      received(response)
    })
    // grpc-js tells the same by 'status', also for streams that end well.
    call.on('error', () => {})
    const beat = this.#beat(() => {
      silent = true
      // Nothing more will come over this connection, and the next stream must not wait for it.
      link.renew()
      call.cancel()
    })
    return new Promise((resolve) => {
      call.on('status', (end: StatusObject) => {
        beat.cancel()
        this.#call = null
        if (silent) resolve(unavailable(server, 'it fell silent'))
        else if (end.code === status.OK) resolve(unavailable(server, 'it ended the stream'))
        else {
          const { refusal, message } = failureOf(end)
          resolve(refusal ?? unavailable(server, message))
        }
      })
    })
  }

  #beat(onSilence: () => void): Timer {
    const { options, empty } = this.#parts
    const { clock } = options
    let timer: Timer
    const next = () => {
      timer = clock.timer(this.#heartbeatMs / 2, () => {
        const nowMs = clock.monotonicMs()
        if (nowMs - this.#heardAtMs > this.#leaseMs) {
          onSilence()
          return
        }
        if (nowMs - this.#sentAtMs >= this.#heartbeatMs / 2 && !this.#closing.signal.aborted) this.send(empty)
        next()
      })
    }
    next()
    return { cancel: () => timer.cancel() }
  }
}

const RECONNECT_BACKOFF = { firstMs: 50, maxMs: 2_000 }

/** What will be the same however often it is asked. */
function worthAnotherTry({ code }: ForebayError): boolean {
  return !FINAL.has(code)
}

const FINAL = new Set(['BAD_REQUEST', 'BAD_HEADER', 'CONFIG_INVALID', 'UNAUTHENTICATED', 'FORBIDDEN', 'DATA_CORRUPT'])

function unavailable(server: string, why: string): ForebayError {
  return new ForebayError('BROKER_UNAVAILABLE', `The log behind ${server} is out of reach: ${why}.`)
}

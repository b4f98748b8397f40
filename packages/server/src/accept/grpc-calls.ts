import type { Clock, Timer } from '@forebay/broker'
import type { ServerDuplexStream, ServerWritableStream, StatusObject } from '@grpc/grpc-js'
import { breakOff } from '../break-off.ts'
import type { Caller } from './open-waits.ts'

/** What a server sees of any call: who it is, and when its caller goes away. */
export interface CancellableCall {
  readonly cancelled: boolean
  on(event: 'cancelled', leave: () => void): unknown
  off(event: 'cancelled', leave: () => void): unknown
}

export function callerOf(call: CancellableCall): Caller {
  return {
    get gone() {
      return call.cancelled
    },
    onGone: (leave) => call.on('cancelled', leave),
    offGone: (leave) => call.off('cancelled', leave),
  }
}

export type AnswerStream<Response> =
  | ServerWritableStream<Uint8Array, Response>
  | ServerDuplexStream<Uint8Array, Response>

/** A caller that leaves its stream unread for so long is cut off. ms */
export const UNREAD_MAX_MS = 30_000

/**
 * Writes answers no faster than the caller reads them: what it has not taken is never more than it was given since
 * `send` last resolved. One that stops reading is cut off, which is `cancelled` like any other going away.
 */
export class AnswerWriter<Response> {
  readonly #call: AnswerStream<Response>
  readonly #clock: Clock
  #unread: Timer | null = null

  constructor(call: AnswerStream<Response>, clock: Clock) {
    this.#call = call
    this.#clock = clock
  }

  /** Resolves true once the caller has taken all of them, false when it is gone. */
  send(responses: readonly Response[]): Promise<boolean> {
    const call = this.#call
    return new Promise((resolve) => {
      if (call.cancelled || call.destroyed) {
        resolve(false)
        return
      }
      this.expectReading()
      const gone = () => {
        this.hasRead()
        resolve(false)
      }
      call.once('close', gone)
      responses.forEach((response, index) => {
        if (index < responses.length - 1) call.write(response)
        else {
          call.write(response, (error: Error | null | undefined) => {
            call.off('close', gone)
            this.hasRead()
            resolve(error === null || error === undefined)
          })
        }
      })
    })
  }

  /** From now on the caller has `UNREAD_MAX_MS` until somebody says that it has read. */
  expectReading(): void {
    this.#unread ??= this.#clock.timer(UNREAD_MAX_MS, () => breakOff(this.#call))
  }

  hasRead(): void {
    this.#unread?.cancel()
    this.#unread = null
  }

  /** Ends the call once what was written has been read, or cuts it off when that takes too long. */
  end(status: StatusObject | null): void {
    const call = this.#call
    if (call.destroyed) {
      this.hasRead()
      return
    }
    this.expectReading()
    call.once('close', () => this.hasRead())
    if (status === null) call.end()
    else call.emit('error', status)
  }
}

import { create } from '@bufbuild/protobuf'
import type { ForebayError } from '@forebay/protocol'
import { type ListenRequest as ListenMessage, ListenRequestSchema, type ListenResponse } from '@forebay/protocol/log'
import type { Listener, ListenRequest, LogRecord } from '../broker.ts'
import { Pull } from '../pull.ts'
import { CREDITS_FIRST, Credits } from './credits.ts'
import { closed, type Link } from './link.ts'
import type { ResolvedRemote } from './options.ts'
import { placeOf, recordOf } from './record-messages.ts'
import { StandingStream } from './standing-stream.ts'

/** Reads one partition; over a new stream it goes on behind the last record that came. */
export class RemoteListener implements Listener {
  /** Resolves when the place is fixed; rejects when the server refuses. */
  readonly started: Promise<void>
  readonly #request: ListenRequest
  readonly #onClose: (listener: RemoteListener) => void
  readonly #stream: StandingStream<ListenMessage, ListenResponse>
  readonly #credits = new Credits()
  readonly #pull: Pull<readonly LogRecord[]>
  readonly #begun = Promise.withResolvers<void>()
  #arrived: { readonly records: readonly LogRecord[]; readonly cost: number }[] = []
  #from: number | null = null
  #next: ListenRequest['from']
  #failure: ForebayError | null = null
  #closing: Promise<void> | null = null

  constructor(
    link: Link,
    options: ResolvedRemote,
    request: ListenRequest,
    onClose: (listener: RemoteListener) => void,
  ) {
    this.#request = request
    this.#onClose = onClose
    this.#next = request.from
    this.started = this.#begun.promise
    this.#pull = new Pull(
      () => this.#takeArrived(),
      () => this.close(),
    )
    this.#stream = new StandingStream({
      link,
      options,
      method: 'Listen',
      first: () => this.#first(),
      empty: create(ListenRequestSchema),
      received: (response) => this.#received(response),
      broken: () => {},
      failed: (why) => this.#fail(why),
    })
  }

  get from(): number {
    return this.#from!
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly LogRecord[]> {
    return {
      next: () => (this.#failure === null ? this.#pull.next() : Promise.reject(this.#failure)),
      return: () => this.#pull.return(),
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #first(): ListenMessage {
    const { topic, partition } = this.#request
    this.#credits.reset()
    // What was given credit on the last stream and is not taken yet stays; the new stream may send less ahead.
    const waiting = this.#arrived.reduce((sum, one) => sum + one.cost, 0)
    const credits = Math.max(0, CREDITS_FIRST - waiting)
    return create(ListenRequestSchema, { start: { topic, partition, from: placeOf(this.#next) }, credits })
  }

  #received({ started, records, cost }: ListenResponse): void {
    if (this.#closing !== null) return
    if (started !== undefined) {
      this.#from ??= Number(started.from)
      if (typeof this.#next !== 'number') this.#next = Number(started.from)
      this.#stream.started(started.liveness)
      this.#begun.resolve()
    }
    if (records.length === 0) return
    const { topic, partition } = this.#request
    const read = records.map((one) => recordOf(one, topic, partition))
    this.#next = read.at(-1)!.offset + 1
    this.#arrived.push({ records: read, cost })
    this.#pull.arrived()
  }

  #takeArrived(): readonly LogRecord[] | null {
    const next = this.#arrived.shift()
    if (next === undefined) return null
    const credits = this.#credits.taken(next.cost)
    if (credits > 0) this.#stream.send(create(ListenRequestSchema, { credits }))
    return next.records
  }

  #fail(why: ForebayError): void {
    this.#failure = why
    this.#begun.reject(why)
    this.#pull.fail(why)
  }

  async #close(): Promise<void> {
    this.#arrived = []
    this.#pull.end()
    await this.#stream.close(create(ListenRequestSchema))
    this.#begun.reject(this.#failure ?? closed())
    this.#onClose(this)
  }
}

import { create } from '@bufbuild/protobuf'
import type { Listener } from '@forebay/broker'
import type { ForebayError } from '@forebay/protocol'
import {
  type ListenRequest,
  ListenRequestSchema,
  type ListenResponse,
  ListenResponseSchema,
  type ListenStart,
} from '@forebay/protocol/log'
import type { StreamParts } from './consume-call.ts'
import { costOf, messageOf, readPlace } from './log-messages.ts'
import { mustExist } from './log-rules.ts'
import { checkStart, framesOf, LIVENESS, PacedStream } from './paced-stream.ts'

/** A reader of one partition at the other end of a stream. */
export class ListenCall {
  readonly #parts: StreamParts<ListenResponse>
  readonly #stream: PacedStream<typeof ListenRequestSchema, ListenResponse>
  readonly #onEnd: () => void
  #started = false
  #listening: Promise<Listener> | null = null

  constructor(parts: StreamParts<ListenResponse>, onEnd: () => void) {
    this.#parts = parts
    this.#onEnd = onEnd
    const { call, clock } = parts
    this.#stream = new PacedStream({
      call,
      clock,
      schema: ListenRequestSchema,
      empty: create(ListenResponseSchema),
      received: (message) => this.#received(message),
      over: (why) => void this.#leave(why),
    })
  }

  stop(why: ForebayError): void {
    this.#stream.end(why)
  }

  #received({ start, credits }: ListenRequest): void {
    checkStart(this.#started, start)
    this.#stream.grant(credits)
    if (start !== undefined) this.#start(start)
  }

  #start({ topic, partition, from }: ListenStart): void {
    this.#started = true
    const { broker, rules } = this.#parts
    rules.checkTopic(topic)
    const request = { topic, partition, from: readPlace(from) }
    this.#listening = mustExist(broker, [topic]).then(() => broker.listen(request))
    this.#listening.then(
      (listener) => this.#run(listener),
      (thrown: unknown) => this.#stream.end(thrown as ForebayError),
    )
  }

  async #run(listener: Listener): Promise<void> {
    const started = { from: BigInt(listener.from), liveness: LIVENESS }
    this.#stream.say(create(ListenResponseSchema, { started }))
    try {
      for await (const records of listener) {
        for (const { items, cost } of framesOf(records, costOf)) {
          if (!(await this.#stream.room())) return
          await this.#stream.send(create(ListenResponseSchema, { records: items.map(messageOf), cost }), cost)
        }
      }
      this.#stream.end(null)
    } catch (thrown) {
      this.#stream.end(thrown as ForebayError)
    }
  }

  async #leave(why: ForebayError | null): Promise<void> {
    const listener = await this.#listening?.catch(() => null)
    await listener?.close()
    this.#parts.endCall(this.#stream.writer, why)
    this.#onEnd()
  }
}

import { create } from '@bufbuild/protobuf'
import type { AssignedPartition, Batch, Broker, Clock, Delivery, Subscription } from '@forebay/broker'
import { WINDOW_OFFSETS_MAX } from '@forebay/broker'
import type { ForebayError } from '@forebay/protocol'
import {
  type ConsumeRequest,
  ConsumeRequestSchema,
  type ConsumeResponse,
  ConsumeResponseSchema,
  type ConsumeStart,
  type Settled,
} from '@forebay/protocol/log'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { AnswerWriter } from '../accept/grpc-calls.ts'
import { badField } from '../accept/grpc-fields.ts'
import type { HandOvers } from './hand-overs.ts'
import { costOf, messageOf, readPlace, safeNumber } from './log-messages.ts'
import { type LogRules, mustExist } from './log-rules.ts'
import { checkStart, framesOf, LIVENESS, PacedStream } from './paced-stream.ts'

/** Bytes of one partition that may be delivered and not settled. */
export const WINDOW_BYTES_MAX = 64 * 1024 * 1024

export interface StreamParts<Response> {
  readonly call: ServerDuplexStream<Uint8Array, Response>
  readonly broker: Broker
  readonly rules: LogRules
  readonly clock: Clock
  readonly handOvers: HandOvers
  /** Writes how the call ended, once what was written has been read. */
  readonly endCall: (writer: AnswerWriter<Response>, thrown: unknown) => void
}

/** A member of a group at the other end of a stream: its seat is this process's, for as long as the stream lasts. */
export class ConsumeCall {
  readonly #parts: StreamParts<ConsumeResponse>
  readonly #stream: PacedStream<typeof ConsumeRequestSchema, ConsumeResponse>
  readonly #assignments = new Map<number, Assignment>()
  readonly #bySignal = new Map<AbortSignal, Assignment>()
  readonly #onEnd: () => void
  /** By assignment, what to call once the other end knows that it is lost. */
  readonly #releases = new Map<number, () => void>()
  #group = ''
  #started = false
  #subscribing: Promise<Subscription> | null = null
  #last = 0

  constructor(parts: StreamParts<ConsumeResponse>, onEnd: () => void) {
    this.#parts = parts
    this.#onEnd = onEnd
    const { call, clock } = parts
    this.#stream = new PacedStream({
      call,
      clock,
      schema: ConsumeRequestSchema,
      empty: create(ConsumeResponseSchema),
      received: (message) => this.#received(message),
      over: (why) => void this.#leave(why),
    })
  }

  stop(why: ForebayError): void {
    this.#stream.end(why)
  }

  #received({ start, credits, settled, released }: ConsumeRequest): void {
    checkStart(this.#started, start)
    this.#stream.grant(credits)
    if (start !== undefined) this.#start(start)
    if (settled.length > 0) this.#settleAll(settled)
    for (const number of released) this.#release(number)
  }

  #start(start: ConsumeStart): void {
    this.#started = true
    const { topics, group } = start
    const { broker, clock, rules } = this.#parts
    const from = readPlace(start.from)
    rules.checkTopics(topics)
    rules.checkGroup(group)
    if (typeof from === 'number')
      throw badField('start.from', 'start.from is an offset; a group begins at an edge or a time.')
    const { windowRecords, windowBytes } = start
    if (windowRecords > WINDOW_OFFSETS_MAX) {
      throw badField('start.window_records', `start.window_records is ${windowRecords}; at most ${WINDOW_OFFSETS_MAX}.`)
    }
    if (windowBytes > WINDOW_BYTES_MAX) {
      throw badField('start.window_bytes', `start.window_bytes is ${windowBytes}; at most ${WINDOW_BYTES_MAX}.`)
    }
    this.#group = group
    const timeMs = clock.wallMs()
    const request = {
      topics: [...new Set(topics)],
      group,
      from,
      ...(windowRecords === 0 ? {} : { windowRecords }),
      ...(windowBytes === 0 ? {} : { windowBytes }),
      onAssigned: (assigned: AssignedPartition) => this.#assigned(assigned),
    }
    this.#subscribing = mustExist(broker, request.topics).then(() => broker.consume(request))
    this.#subscribing.then(
      (subscription) => this.#run(subscription, timeMs),
      (thrown: unknown) => this.#stream.end(thrown as ForebayError),
    )
  }

  async #run(subscription: Subscription, timeMs: number): Promise<void> {
    const started = { timeMs: BigInt(Math.trunc(timeMs)), liveness: LIVENESS }
    this.#stream.say(create(ConsumeResponseSchema, { started }))
    try {
      for await (const batch of subscription) {
        await this.#send(batch)
        if (this.#stream.over) return
      }
      this.#stream.end(null)
    } catch (thrown) {
      this.#stream.end(thrown as ForebayError)
    }
  }

  async #send({ deliveries }: Batch): Promise<void> {
    const assignment = this.#bySignal.get(deliveries[0]!.lost)
    if (assignment !== undefined) await this.#parts.handOvers.over(assignment.place)
    for (const { items, cost } of framesOf(deliveries, ({ record }) => costOf(record))) {
      // What is not sent comes to the next owner.
      if (!(await this.#stream.room())) return
      if (assignment === undefined || assignment.lost.aborted) return
      for (const delivery of items) assignment.deliveries.set(delivery.record.offset, delivery)
      const records = items.map(({ record }) => messageOf(record))
      const batch = { assignment: assignment.number, records, cost }
      await this.#stream.send(create(ConsumeResponseSchema, { batch }), cost)
    }
  }

  #assigned({ topic, partition, lost }: AssignedPartition): void {
    const number = ++this.#last
    const place = `${this.#group} ${partition} ${topic}`
    const assignment: Assignment = { number, place, lost, deliveries: new Map() }
    this.#assignments.set(number, assignment)
    this.#bySignal.set(lost, assignment)
    this.#stream.say(create(ConsumeResponseSchema, { assigned: [{ assignment: number, topic, partition }] }))
    const over = () => {
      this.#assignments.delete(number)
      this.#bySignal.delete(lost)
      if (!this.#stream.over) this.#releases.set(number, this.#parts.handOvers.begin(place))
      this.#stream.say(create(ConsumeResponseSchema, { lost: [number] }))
    }
    if (lost.aborted) over()
    else lost.addEventListener('abort', over, { once: true })
  }

  #settleAll(settled: readonly Settled[]): void {
    let offsets = 0
    for (const { ranges } of settled) for (const { count } of ranges) offsets += count
    if (offsets > WINDOW_OFFSETS_MAX) {
      throw badField('settled', `settled names ${offsets} offsets; at most ${WINDOW_OFFSETS_MAX} in one message.`)
    }
    for (const one of settled) this.#settle(one)
  }

  #settle({ assignment: number, ranges }: Settled): void {
    const deliveries = this.#assignments.get(number)?.deliveries
    for (const range of ranges) {
      const first = safeNumber(range.first, 'settled.ranges.first')
      if (deliveries === undefined) continue
      for (let offset = first; offset < first + range.count; offset++) {
        deliveries.get(offset)?.settle()
        deliveries.delete(offset)
      }
    }
  }

  #release(number: number): void {
    this.#releases.get(number)?.()
    this.#releases.delete(number)
  }

  /** Everything settled is stored before the caller hears that the stream is over. */
  async #leave(why: ForebayError | null): Promise<void> {
    let thrown: unknown = why
    for (const number of [...this.#releases.keys()]) this.#release(number)
    try {
      const subscription = await this.#subscribing?.catch(() => null)
      await subscription?.close()
    } catch (cause) {
      thrown ??= cause
    }
    this.#parts.endCall(this.#stream.writer, thrown)
    this.#onEnd()
  }
}

interface Assignment {
  readonly number: number
  /** The same for every owner that it has in this group. */
  readonly place: string
  readonly lost: AbortSignal
  /** Sent and not settled, by offset. */
  readonly deliveries: Map<number, Delivery>
}

import { create } from '@bufbuild/protobuf'
import type { ForebayError } from '@forebay/protocol'
import {
  type Batch as BatchMessage,
  type ConsumeRequest as ConsumeMessage,
  ConsumeRequestSchema,
  type ConsumeResponse,
} from '@forebay/protocol/log'
import type { Batch, ConsumeRequest, Subscription } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { Pull } from '../pull.ts'
import { Assignment } from './assignment.ts'
import { CREDITS_FIRST, Credits } from './credits.ts'
import { closed, type Link } from './link.ts'
import type { ResolvedRemote } from './options.ts'
import { placeOf, recordOf } from './record-messages.ts'
import { StandingStream } from './standing-stream.ts'

/** What is settled within this time is told in one message. ms */
const SETTLE_EVERY_MS = 5

/** From this number on it is told at once; the server takes twice as many in a message. */
const SETTLED_AT_ONCE = 10_000

/** A member of a group, whose seat the server holds for as long as it is heard. */
export class RemoteSubscription implements Subscription {
  /** Resolves when the server has fixed where the group begins; rejects when it refuses. */
  readonly started: Promise<void>
  readonly #request: ConsumeRequest
  readonly #options: ResolvedRemote
  readonly #onClose: (subscription: RemoteSubscription) => void
  readonly #stream: StandingStream<ConsumeMessage, ConsumeResponse>
  readonly #assignments = new Map<number, Assignment>()
  readonly #settled = new Set<Assignment>()
  readonly #credits = new Credits()
  readonly #pull: Pull<Batch>
  readonly #begun = Promise.withResolvers<void>()
  #arrived: Arrived[] = []
  #settleTimer: Timer | null = null
  #untold = 0
  /** Where the group begins on the next stream; of 'latest' only the time is left once it was fixed. */
  #from: NonNullable<ConsumeRequest['from']>
  #failure: ForebayError | null = null
  #closing: Promise<void> | null = null

  constructor(
    link: Link,
    options: ResolvedRemote,
    request: ConsumeRequest,
    onClose: (subscription: RemoteSubscription) => void,
  ) {
    this.#request = request
    this.#options = options
    this.#onClose = onClose
    this.#from = request.from ?? 'earliest'
    this.started = this.#begun.promise
    this.#pull = new Pull(
      () => this.#nextBatch(),
      () => this.close(),
    )
    this.#stream = new StandingStream({
      link,
      options,
      method: 'Consume',
      first: () => this.#first(),
      empty: create(ConsumeRequestSchema),
      received: (response) => this.#received(response),
      broken: (why) => this.#loseAll(why.message),
      failed: (why) => this.#fail(why),
    })
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return {
      next: () => (this.#failure === null ? this.#pull.next() : Promise.reject(this.#failure)),
      return: () => this.#pull.return(),
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #first(): ConsumeMessage {
    const { topics, group, windowRecords = 0, windowBytes = 0 } = this.#request
    this.#credits.reset()
    const start = { topics: [...topics], group, from: placeOf(this.#from), windowRecords, windowBytes }
    return create(ConsumeRequestSchema, { start, credits: CREDITS_FIRST })
  }

  #received({ started, assigned, lost, batch }: ConsumeResponse): void {
    if (this.#closing !== null) return
    for (const { assignment: number, topic, partition } of assigned) {
      const assignment = new Assignment({ number, topic, partition }, (one) => this.#tellSettled(one))
      this.#assignments.set(number, assignment)
      this.#request.onAssigned?.({ topic, partition, lost: assignment.lost })
    }
    for (const number of lost) this.#lose(number, 'the server gave it to another member')
    if (lost.length > 0) this.#stream.send(create(ConsumeRequestSchema, { released: lost }))
    if (started !== undefined) {
      if (this.#from === 'latest') this.#from = { timeMs: Number(started.timeMs) }
      this.#stream.started(started.liveness)
      this.#begun.resolve()
    }
    if (batch !== undefined) this.#arrive(batch)
  }

  #arrive({ assignment: number, records, cost }: BatchMessage): void {
    const assignment = this.#assignments.get(number)
    if (assignment === undefined || records.length === 0) {
      this.#giveBack(cost)
      return
    }
    const { topic, partition } = assignment
    const batch = assignment.batchOf(records.map((one) => recordOf(one, topic, partition)))
    this.#arrived.push({ assignment, batch, cost })
    this.#pull.arrived()
  }

  #nextBatch(): Batch | null {
    for (;;) {
      const next = this.#arrived.shift()
      if (next === undefined) return null
      // What came over a stream that is gone is not counted by the one that stands.
      if (this.#assignments.get(next.assignment.number) === next.assignment) this.#giveBack(next.cost)
      if (!next.assignment.lost.aborted) return next.batch
    }
  }

  #giveBack(cost: number): void {
    const credits = this.#credits.taken(cost)
    if (credits > 0) this.#stream.send(create(ConsumeRequestSchema, { credits }))
  }

  #tellSettled(assignment: Assignment): void {
    this.#settled.add(assignment)
    if (++this.#untold >= SETTLED_AT_ONCE) {
      this.#stream.send(this.#settledMessage())
      return
    }
    this.#settleTimer ??= this.#options.clock.timer(SETTLE_EVERY_MS, () => {
      this.#settleTimer = null
      this.#stream.send(this.#settledMessage())
    })
  }

  #settledMessage(): ConsumeMessage {
    const settled = [...this.#settled].map((one) => ({
      assignment: one.number,
      ranges: one.takeSettled().map(({ first, count }) => ({ first: BigInt(first), count })),
    }))
    this.#settled.clear()
    this.#untold = 0
    return create(ConsumeRequestSchema, { settled })
  }

  #lose(number: number, why: string): void {
    const assignment = this.#assignments.get(number)
    if (assignment === undefined) return
    this.#assignments.delete(number)
    this.#settled.delete(assignment)
    assignment.lose(why)
    for (const one of this.#arrived) if (one.assignment === assignment) this.#giveBack(one.cost)
    this.#arrived = this.#arrived.filter((one) => one.assignment !== assignment)
  }

  #loseAll(why: string): void {
    for (const number of [...this.#assignments.keys()]) this.#lose(number, why)
  }

  #fail(why: ForebayError): void {
    this.#failure = why
    this.#begun.reject(why)
    this.#loseAll(why.message)
    this.#pull.fail(why)
  }

  async #close(): Promise<void> {
    this.#settleTimer?.cancel()
    const last = this.#settledMessage()
    this.#loseAll('the subscription was closed')
    this.#pull.end()
    await this.#stream.close(last)
    this.#begun.reject(this.#failure ?? closed())
    this.#onClose(this)
  }
}

interface Arrived {
  readonly assignment: Assignment
  readonly batch: Batch
  readonly cost: number
}

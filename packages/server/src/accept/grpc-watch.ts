import { create } from '@bufbuild/protobuf'
import type { Clock, Timer } from '@forebay/broker'
import { ForebayError, WatchRequestSchema, type WatchResponse, WatchResponseSchema } from '@forebay/protocol'
import { Metadata, type ServerWritableStream } from '@grpc/grpc-js'
import type { TaskView, WatchEvent } from '../reply/replies.ts'
import { AnswerWriter, type CancellableCall } from './grpc-calls.ts'
import { badField, readMessage } from './grpc-fields.ts'
import { resultOf, taskOf } from './grpc-messages.ts'
import type { TaskIdParts } from './task-id.ts'
import { type OpenedWatch, type OpenWatch, positionAfter, readPosition } from './watching.ts'

/** A stream on which nothing happens says so this often; proxies give up on a silent one after 60 s. ms */
export const HEARTBEAT_MS = 20_000

export interface GrpcWatchParts {
  readonly openWatch: OpenWatch
  readonly authenticate: (call: WatchCall) => string
  /** The view with its payload; throws when that cannot be fetched. */
  readonly fetchWhole: (call: CancellableCall, view: TaskView) => Promise<TaskView>
  readonly clock: Clock
  readonly endCall: (writer: AnswerWriter<WatchResponse>, thrown: unknown) => void
}

export type WatchCall = ServerWritableStream<Uint8Array, WatchResponse>

/** The open streams of TaskService/Watch. */
export class GrpcWatches {
  readonly #parts: GrpcWatchParts
  readonly #open = new Set<() => void>()
  #stopping = false

  constructor(parts: GrpcWatchParts) {
    this.#parts = parts
  }

  accept(call: WatchCall): void {
    const writer = new AnswerWriter(call, this.#parts.clock)
    this.#follow(call, writer).then(
      () => writer.end(null),
      (thrown: unknown) => this.#parts.endCall(writer, thrown),
    )
  }

  stop(): void {
    this.#stopping = true
    for (const leave of this.#open) leave()
  }

  async #follow(call: WatchCall, writer: AnswerWriter<WatchResponse>): Promise<void> {
    const owner = this.#parts.authenticate(call)
    const { id, after } = readMessage(WatchRequestSchema, call.request)
    const position = readPosition(after)
    if (position === null) throw badField('after', 'after is no position that a Watch has given out.')
    const opened = await this.#parts.openWatch(id, owner, position)
    const leave = () => opened.watch?.stop()
    this.#open.add(leave)
    call.once('close', leave)
    if (call.cancelled || this.#stopping) leave()
    try {
      // At once, so that the caller sees that it is heard before there is anything to say.
      call.sendMetadata(new Metadata())
      await this.#tell(opened, call, writer)
    } finally {
      leave()
      this.#open.delete(leave)
      call.off('close', leave)
    }
  }

  async #tell({ id, watch }: OpenedWatch, call: WatchCall, writer: AnswerWriter<WatchResponse>): Promise<void> {
    if (watch === null) return
    const heart = new Heartbeat(this.#parts.clock, () => writer.send([HEARTBEAT]))
    try {
      for (;;) {
        heart.start()
        const events = await watch.next()
        await heart.stop()
        if (events === null) {
          if (call.cancelled) return
          throw stopping()
        }
        const responses: WatchResponse[] = []
        for (const event of events) responses.push(await this.#responseTo(event, id, call))
        if (!(await writer.send(responses))) return
        if (events.at(-1)!.kind === 'end') return
      }
    } finally {
      await heart.stop()
    }
  }

  async #responseTo(event: WatchEvent, id: TaskIdParts, call: WatchCall): Promise<WatchResponse> {
    const position = positionAfter(event)
    if (event.kind !== 'end') return create(WatchResponseSchema, { position, event: eventOf(event, id) })
    const view = await this.#parts.fetchWhole(call, event.view)
    const value = { task: taskOf(id, view), result: resultOf(view) }
    return create(WatchResponseSchema, { position, event: { case: 'end', value } })
  }
}

function eventOf(event: Exclude<WatchEvent, { kind: 'end' }>, id: TaskIdParts) {
  if (event.kind === 'state') return { case: 'task', value: taskOf(id, event.view) } as const
  const { attempts: attempt } = event
  if (event.kind === 'restart') return { case: 'restart', value: { generation: event.generation, attempt } } as const
  const { content, chunks } = event
  if (content.kind === 'chunk') {
    const { payload, contentType } = content
    return { case: 'chunk', value: { attempt, number: chunks, payload, contentType } } as const
  }
  const { fraction, message } = content
  return { case: 'progress', value: { attempt, message, ...(fraction === null ? {} : { fraction }) } } as const
}

/** Beats while there is silence, never ahead of the reader. */
class Heartbeat {
  readonly #clock: Clock
  readonly #beat: () => Promise<unknown>
  #running = false
  #timer: Timer | null = null
  #beating: Promise<unknown> | null = null

  constructor(clock: Clock, beat: () => Promise<unknown>) {
    this.#clock = clock
    this.#beat = beat
  }

  start(): void {
    this.#running = true
    this.#timer = this.#clock.timer(HEARTBEAT_MS, () => {
      this.#timer = null
      this.#beating = this.#beat().then(() => {
        this.#beating = null
        if (this.#running) this.start()
      })
    })
  }

  /** Resolves when no beat is on its way any more. */
  async stop(): Promise<void> {
    this.#running = false
    this.#timer?.cancel()
    this.#timer = null
    await this.#beating
  }
}

const HEARTBEAT = create(WatchResponseSchema, { event: { case: 'heartbeat', value: {} } })

function stopping(): ForebayError {
  return new ForebayError('STOPPING', 'This server is stopping; follow the task at another, from the last position on.')
}

import type { IncomingMessage } from 'node:http'
import { type ForebayError, toForebayError, toProblem } from '@forebay/protocol'
import type { WebSocket } from 'ws'
import { isoTime } from '../iso-time.ts'
import type { WatchEvent } from '../reply/replies.ts'
import type { Telemetry } from '../telemetry.ts'
import type { Admission } from './admission.ts'
import type { CancelTask } from './cancel-task.ts'
import { taskPath } from './http-answers.ts'
import type { ReadTask, TaskRead } from './read-task.ts'
import { dataOf, nameOf } from './sse-events.ts'
import type { Pulsed, SsePulse } from './sse-pulse.ts'
import type { TaskIdParts } from './task-id.ts'
import { type OpenedWatch, type OpenWatch, positionAfter, readPosition } from './watching.ts'
import { badMessage, type ClientMessage, readMessage } from './websocket-messages.ts'
import { WebSocketOutbox } from './websocket-outbox.ts'
import type { WebSocketAccept, WebSocketKept } from './websocket-submit.ts'

/** Refs of one connection that are open: wishes under way, and tasks that are followed. */
const OPEN_REFS_MAX = 256
/** Wishes of one connection that are under way; further messages stay in the socket. */
const WISHES_MAX = 64
/** Silence of the peer after which it is pinged, and after a ping: after which it is taken for gone. ticks of a second */
const PING_AFTER_TICKS = 20
const PONG_WITHIN_TICKS = 10
/** A peer that takes nothing of what was said to it for so long is cut off; it may come back to where it was. ticks */
const STUCK_TICKS = 30
const LOOK_EVERY_TICKS = 5

export interface ConnectionParts {
  readonly accept: WebSocketAccept
  readonly openWatch: OpenWatch
  readonly readTask: ReadTask
  readonly cancelTask: CancelTask
  readonly admission: Admission
  readonly pulse: SsePulse
  readonly telemetry: Telemetry
}

type Watch = NonNullable<OpenedWatch['watch']>

/** A ref from the message that opens it to the last event under it. */
interface OpenRef {
  watch: Watch | null
  /** Unwatched, or the connection is over: nothing more is said under it. */
  over: boolean
}

/** One peer: what it asks for, in order; and what becomes of it, under the refs that it chose. */
export class WebSocketConnection implements Pulsed {
  slot = 0
  readonly #parts: ConnectionParts
  readonly #socket: WebSocket
  readonly #principal: string
  readonly #header: (name: string) => string | undefined
  readonly #outbox: WebSocketOutbox
  readonly #refs = new Map<string, OpenRef>()
  /** Messages that came in one piece with those that filled the places: as much as the socket reads at once. */
  #backlog: Buffer[] = []
  #wishes = 0
  /** Bytes of a message that has not ended. */
  #unfinishedBytes = 0
  #heardAt: number
  #pingedAt: number | null = null
  #flushedAt: number
  #stopping = false

  constructor(parts: ConnectionParts, socket: WebSocket, request: IncomingMessage, principal: string) {
    this.#parts = parts
    this.#socket = socket
    this.#principal = principal
    const { headers } = request
    this.#header = (name) => headers[name] as string | undefined
    this.#outbox = new WebSocketOutbox(socket, () => {
      this.#flushedAt = parts.pulse.now
      this.#work()
    })
    this.#heardAt = this.#flushedAt = parts.pulse.now
    socket.on('message', (data, isBinary) => this.#hear(data as Buffer, isBinary))
    socket.on('close', () => this.#close())
    // What a peer does wrong ends its connection by the code that the protocol has for it, which `ws` has sent by then.
    socket.on('error', () => {})
    request.socket.on('data', () => this.#taken())
    parts.pulse.add(this, LOOK_EVERY_TICKS)
  }

  /** What is under way is answered yet; then the peer is sent away, to come back here or to another gateway. */
  stop(): void {
    this.#stopping = true
    this.#backlog = []
    for (const ref of this.#refs.values()) endRef(ref)
    this.#leaveWhenIdle()
  }

  cut(): void {
    this.#socket.terminate()
  }

  pulse(): number {
    const { now } = this.#parts.pulse
    const waiting = this.#socket.bufferedAmount > 0
    if (waiting && now - this.#flushedAt >= STUCK_TICKS) {
      this.#socket.close(1008, 'Nothing of what was sent is taken.')
      this.cut()
    } else if (this.#socket.isPaused) {
      // Its pong may lie unread.
      this.#pingedAt = null
    } else if (this.#socket.readyState === this.#socket.OPEN) {
      if (this.#pingedAt !== null && now - this.#pingedAt >= PONG_WITHIN_TICKS) this.cut()
      else if (this.#pingedAt === null && now - this.#heardAt >= PING_AFTER_TICKS) {
        this.#pingedAt = now
        this.#socket.ping()
      }
    }
    return LOOK_EVERY_TICKS
  }

  /** Something came in; what of it is no whole message yet lies in memory as any body does. */
  #taken(): void {
    this.#heardAt = this.#parts.pulse.now
    this.#pingedAt = null
    const unfinished = unfinishedBytes(this.#socket)
    try {
      this.#parts.admission.grow(unfinished - this.#unfinishedBytes)
      this.#unfinishedBytes = unfinished
    } catch {
      this.#socket.close(1013, 'Too much is on its way into the log; try again soon.')
      this.cut()
      return
    }
    if (!this.#outbox.hasRoom) this.#socket.pause()
  }

  #hear(data: Buffer, isBinary: boolean): void {
    if (this.#stopping || this.#socket.readyState !== this.#socket.OPEN) return
    if (isBinary) {
      this.#socket.close(1003, 'Messages are JSON, as text.')
      return
    }
    this.#backlog.push(data)
    this.#work()
  }

  /** As much as there are places for; the rest stays where it is. */
  #work(): void {
    while (this.#backlog.length > 0 && this.#mayBegin()) void this.#carryOut(this.#backlog.shift()!)
    if (this.#backlog.length > 0 || !this.#mayBegin()) this.#socket.pause()
    else if (this.#socket.isPaused) this.#socket.resume()
  }

  #mayBegin(): boolean {
    return this.#wishes < WISHES_MAX && this.#outbox.hasRoom
  }

  async #carryOut(data: Buffer): Promise<void> {
    const { ref, message, fault } = readMessage(data)
    if (message === null) {
      this.#refuse(ref, fault)
      return
    }
    if (message.op === 'ping') this.#say(ref, 'pong', '{}')
    else if (message.op === 'unwatch') this.#unwatch(message.ref)
    else {
      this.#wishes++
      await this.#fulfil(message)
      this.#wishes--
      if (this.#stopping) this.#leaveWhenIdle()
      else this.#work()
    }
  }

  async #fulfil(message: Exclude<ClientMessage, { op: 'ping' | 'unwatch' }>): Promise<void> {
    const { ref } = message
    let opened: OpenRef | null = null
    try {
      opened = this.#open(ref)
      if (message.op === 'submit') await this.#submit(message, opened)
      else if (message.op === 'watch') await this.#watch(ref, opened, message.id, message.after ?? '')
      else if (message.op === 'get') this.#tell(ref, await this.#parts.readTask(message.id, this.#principal, 0))
      else this.#tell(ref, await this.#parts.cancelTask(message.id, this.#principal))
    } catch (thrown) {
      this.#refuse(ref, thrown)
    } finally {
      if (opened !== null && opened.watch === null) this.#free(ref, opened)
    }
  }

  async #submit(message: Extract<ClientMessage, { op: 'submit' }>, opened: OpenRef): Promise<void> {
    const { ref, watch = false } = message
    const accepted = await this.#parts.accept(message, this.#principal, this.#header)
    this.#say(ref, 'accepted', acceptedData(accepted))
    if (watch) await this.#watch(ref, opened, accepted.kept.taskId, '')
  }

  async #watch(ref: string, opened: OpenRef, taskId: string, after: string): Promise<void> {
    const position = readPosition(after)
    if (position === null) throw badMessage('"after" is no position of ours; send the last one that came.', 'after')
    if (opened.over) return
    const { id, watch } = await this.#parts.openWatch(taskId, this.#principal, position)
    if (watch === null) this.#say(ref, 'over', '{}')
    else if (opened.over) watch.stop()
    else {
      opened.watch = watch
      void this.#follow(ref, opened, id, watch)
    }
  }

  /** Nothing more is asked of the watch until there is room for it. */
  async #follow(ref: string, opened: OpenRef, id: TaskIdParts, watch: Watch): Promise<void> {
    try {
      for (;;) {
        const room = this.#outbox.turn()
        if (room !== null) await room
        const events = await watch.next()
        if (events === null) break
        for (const event of events) {
          const turn = this.#outbox.turn()
          if (turn !== null) await turn
          if (opened.over) return
          this.#pass(ref, id, event)
        }
        if (events.at(-1)!.kind === 'end') break
      }
    } catch (thrown) {
      if (!opened.over) this.#refuse(ref, thrown)
    } finally {
      watch.stop()
      this.#free(ref, opened)
    }
  }

  #unwatch(ref: string): void {
    const opened = this.#refs.get(ref)
    if (opened !== undefined) {
      endRef(opened)
      if (opened.watch !== null) this.#free(ref, opened)
    }
    this.#say(ref, 'over', '{}')
  }

  #open(ref: string): OpenRef {
    if (this.#refs.has(ref)) throw badMessage('This "ref" is in use; choose another until its last event.', 'ref')
    if (this.#refs.size >= OPEN_REFS_MAX) throw tooManyRefs()
    const opened = { watch: null, over: false }
    this.#refs.set(ref, opened)
    return opened
  }

  #free(ref: string, opened: OpenRef): void {
    if (this.#refs.get(ref) === opened) this.#refs.delete(ref)
  }

  #tell(ref: string, { id, view }: TaskRead): void {
    const ended = view !== null && view.finishedAtMs !== null
    this.#say(ref, 'task', dataOf(id, ended ? { kind: 'end', view } : { kind: 'state', view }))
  }

  #pass(ref: string, id: TaskIdParts, event: WatchEvent): void {
    this.#say(ref, nameOf(event), dataOf(id, event), positionAfter(event))
  }

  #refuse(ref: string | null, thrown: unknown): void {
    const error = toForebayError(thrown)
    const { telemetry } = this.#parts
    telemetry.metrics.refused.inc({ code: error.code })
    if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'answering a message failed')
    const { retryAfterS } = error
    const problem = { ...toProblem(error), ...(retryAfterS === undefined ? {} : { retryAfter: retryAfterS }) }
    this.#say(ref, 'problem', JSON.stringify({ problem }))
  }

  /** `data`: a JSON object, whose members go into the message. */
  #say(ref: string | null, event: string, data: string, position = ''): void {
    if (this.#socket.bufferedAmount === 0) this.#flushedAt = this.#parts.pulse.now
    const under = ref === null ? '' : `"ref":${JSON.stringify(ref)},`
    const at = position === '' ? '' : `,"position":"${position}"`
    this.#outbox.send(`{${under}"event":"${event}"${at}${data === '{}' ? '}' : `,${data.slice(1)}`}`)
  }

  #leaveWhenIdle(): void {
    if (this.#wishes === 0) this.#socket.close(1001, 'This server is stopping; go on at another.')
  }

  #close(): void {
    const { admission, pulse } = this.#parts
    pulse.remove(this)
    admission.leave(this.#unfinishedBytes)
    this.#unfinishedBytes = 0
    this.#stopping = true
    this.#backlog = []
    for (const ref of this.#refs.values()) endRef(ref)
    this.#outbox.close()
  }
}

function endRef(ref: OpenRef): void {
  ref.over = true
  ref.watch?.stop()
}

function tooManyRefs(): ForebayError {
  return badMessage(`At most ${OPEN_REFS_MAX} refs may be open over one connection; wait for the end of some.`, 'ref')
}

function acceptedData({ queue, kept }: WebSocketKept): string {
  const path = taskPath(kept.taskId)
  return JSON.stringify({
    id: kept.taskId,
    queue: queue.options.name,
    acceptedAt: isoTime(kept.acceptedAtMs),
    ...(kept.replayed ? { replayed: true } : {}),
    ...(kept.keyExpiresAtMs === null ? {} : { idempotencyExpiresAt: isoTime(kept.keyExpiresAtMs) }),
    links: { self: path, result: `${path}/result` },
  })
}

/** `ws` keeps what it has of a message under names that are not documented. */
function unfinishedBytes(socket: WebSocket): number {
  const { _receiver: receiver } = socket as unknown as Receiving
  return receiver == null ? 0 : receiver._bufferedBytes + receiver._messageLength
}

interface Receiving {
  readonly _receiver?: { readonly _bufferedBytes: number; readonly _messageLength: number } | null
}

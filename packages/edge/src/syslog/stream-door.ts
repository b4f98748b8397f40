import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '@forebay/broker'
import type { Intake } from '../intake.ts'
import type { Address } from '../options.ts'
import { syslogMessage } from './message.ts'
import { StreamFrames } from './stream-frames.ts'

/**
 * Syslog over TCP or a unix stream. While the spool has no room nothing more is read, so the sender waits and nothing is lost that
 * it still holds. There is no answer in this protocol: what was on its way when either side died is lost without a trace.
 */
export class StreamDoor {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #carrying = new Set<Promise<void>>()
  readonly #parts: { intake: Intake; clock: Clock; onTrouble: (cause: unknown) => void }
  readonly #ending = new AbortController()

  private constructor(server: Server, intake: Intake, clock: Clock, onTrouble: (cause: unknown) => void) {
    this.#server = server
    this.#parts = { intake, clock, onTrouble }
    server.on('connection', (socket) => {
      const carrying = this.#carry(socket).finally(() => this.#carrying.delete(carrying))
      this.#carrying.add(carrying)
    })
  }

  static async open(
    at: Address | { readonly path: string },
    intake: Intake,
    clock: Clock,
    onTrouble: (cause: unknown) => void,
  ): Promise<StreamDoor> {
    // Left over by a process that was killed; whoever listens there now would be locked out by our folder before.
    if ('path' in at) await rm(at.path, { force: true })
    const server = createServer()
    const door = new StreamDoor(server, intake, clock, onTrouble)
    server.maxConnections = CONNECTIONS_MAX
    server.listen(at)
    await once(server, 'listening')
    server.on('error', onTrouble)
    return door
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    this.#server.close()
    for (const socket of this.#sockets) socket.destroySoon()
    await Promise.all(this.#carrying)
  }

  async #carry(socket: Socket): Promise<void> {
    const frames = new StreamFrames()
    this.#sockets.add(socket)
    try {
      for await (const chunk of socket) await this.#take(frames.push(chunk as Buffer))
    } catch {
      // The sender went away; what came whole is kept.
    } finally {
      this.#sockets.delete(socket)
      socket.destroy()
    }
    const rest = frames.end()
    if (rest !== null) await this.#take([rest])
  }

  async #take(messages: readonly Buffer[]): Promise<void> {
    if (messages.length === 0) return
    const { intake, clock, onTrouble } = this.#parts
    const lines = Buffer.concat(messages.flatMap((message) => [syslogMessage(message), NEWLINE]))
    for (;;) {
      try {
        if (await intake.take(lines, false)) return
      } catch (thrown) {
        onTrouble(thrown)
      }
      if (this.#ending.signal.aborted) {
        intake.lost('spool-full', messages.length)
        return
      }
      await clock.sleep(ROOM_MS, this.#ending.signal).catch(() => {})
    }
  }
}

const NEWLINE = Buffer.from('\n')
const CONNECTIONS_MAX = 1_000
/** Between two looks for room. */
const ROOM_MS = 200

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Clock } from '@forebay/broker'
import type { Intake } from '../intake.ts'
import type { Address } from '../options.ts'
import { GatheredLines } from './gathered-lines.ts'
import { kernelDrops } from './kernel-drops.ts'
import { syslogMessage } from './message.ts'

/**
 * Datagrams. Nobody waits for an answer, so what finds no room is lost: the kernel counts what its buffer could not hold, we what
 * the spool could not, and both are told in rows.
 */
export class UdpDoor {
  readonly port: number
  readonly #socket: Socket
  readonly #intake: Intake
  readonly #lines: GatheredLines
  readonly #ending = new AbortController()
  readonly #watching: Promise<void>
  #taking: Promise<void> = Promise.resolve()
  #dropsTold = 0

  private constructor(socket: Socket, intake: Intake, clock: Clock, onTrouble: (cause: unknown) => void) {
    this.#socket = socket
    this.#intake = intake
    this.port = socket.address().port
    this.#lines = new GatheredLines(clock, (lines, count) => {
      const taken = intake.take(lines, false).then(
        (kept) => {
          if (!kept) intake.lost('spool-full', count)
        },
        (thrown) => {
          intake.lost('spool-full', count)
          onTrouble(thrown)
        },
      )
      this.#taking = Promise.all([this.#taking, taken]).then(() => {})
    })
    socket.on('message', (datagram) => this.#lines.push(syslogMessage(datagram)))
    socket.on('error', onTrouble)
    this.#watching = this.#watch(clock)
  }

  static async open(
    { host, port }: Address,
    intake: Intake,
    clock: Clock,
    onTrouble: (cause: unknown) => void,
  ): Promise<UdpDoor> {
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: SOCKET_BYTES })
    socket.bind(port, host)
    await once(socket, 'listening')
    return new UdpDoor(socket, intake, clock, onTrouble)
  }

  /** What has been received is kept. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#watching
    await this.#tellDrops()
    const closed = once(this.#socket, 'close')
    this.#socket.close()
    await closed
    this.#lines.flush()
    await this.#taking
    await this.#intake.tell().catch(() => {})
  }

  async #watch(clock: Clock): Promise<void> {
    while (!this.#ending.signal.aborted) {
      await clock.sleep(DROPS_MS, this.#ending.signal).catch(() => {})
      await this.#tellDrops()
      await this.#intake.tell().catch(() => {})
    }
  }

  async #tellDrops(): Promise<void> {
    const drops = await kernelDrops(this.port)
    if (drops === null || drops <= this.#dropsTold) return
    this.#intake.lost('socket', drops - this.#dropsTold)
    this.#dropsTold = drops
  }
}

/** Asked for; the kernel gives what net.core.rmem_max allows. */
const SOCKET_BYTES = 8 * 1024 * 1024
const DROPS_MS = 1_000

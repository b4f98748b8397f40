import type { RemoteInfo, Socket } from 'node:dgram'
import type { Clock, Random } from '@forebay/broker'

/**
 * Datagrams that a socket sends to itself. What a socket holds comes out in its order, so once a mark has come, everything that
 * was there before it was sent has come as well.
 */
export class Marks {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #name: Buffer
  readonly #to: { readonly address: string; readonly port: number }
  #number = 0
  #onCome: (() => void) | null = null

  /** The socket is bound. */
  constructor(socket: Socket, clock: Clock, random: Pick<Random, 'fill'>) {
    this.#socket = socket
    this.#clock = clock
    this.#name = Buffer.alloc(NAME_BYTES)
    random.fill(this.#name)
    const { address, port } = socket.address()
    this.#to = { address: { '0.0.0.0': '127.0.0.1', '::': '::1' }[address] ?? address, port }
  }

  /** Whether everything that the socket held when this was called has come; false when that did not show in time. */
  async pass(): Promise<boolean> {
    const number = ++this.#number
    const mark = Buffer.alloc(NAME_BYTES + 4)
    this.#name.copy(mark)
    mark.writeUInt32LE(number, NAME_BYTES)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = this.#clock.timer(PASS_MS, () => resolve(false))
    this.#onCome = () => resolve(true)
    this.#socket.send(mark, this.#to.port, this.#to.address, (failed) => {
      if (failed) resolve(false)
    })
    try {
      return await promise
    } finally {
      timer.cancel()
      this.#onCome = null
    }
  }

  /** True for a mark, which is no line. Called for every datagram. */
  take(datagram: Buffer, { port }: RemoteInfo): boolean {
    if (port !== this.#to.port || datagram.length !== NAME_BYTES + 4) return false
    if (this.#name.compare(datagram, 0, NAME_BYTES) !== 0) return false
    if (datagram.readUInt32LE(NAME_BYTES) === this.#number) this.#onCome?.()
    return true
  }
}

const NAME_BYTES = 16
/** Longer than a full buffer takes to be read. */
const PASS_MS = 2_000

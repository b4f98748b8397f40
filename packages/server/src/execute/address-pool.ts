import { isIP } from 'node:net'
import type { Clock, Random } from '@forebay/broker'

/** One address behind a target's name, with whatever reaches it. */
export interface Place<Channel> {
  readonly address: string
  readonly channel: Channel
  inFlight: number
  failuresInRow: number
  ejections: number
  /** Monotonic; in the past while it may be used. ms */
  outUntilMs: number
}

export interface AddressPoolOptions<Channel> {
  readonly host: string
  readonly port: number
  /** All addresses of the name; rejects when there are none. */
  lookUp(host: string): Promise<readonly string[]>
  /** `address`: 'ipv4:127.0.0.1:80', as gRPC writes it. */
  connect(address: string): Channel
  close(channel: Channel): void
  readonly clock: Clock
  readonly random: Random
}

/**
 * Spreads calls over the addresses of one host name: of two taken at random the one with fewer calls under way. An
 * address that cannot be reached, or fails `FAILURES_MAX` times in a row, is left out for a time that doubles with each
 * repetition; when all are out, all are tried. Names are looked up again every `LOOK_UP_AGAIN_MS`, and after failures.
 */
export class AddressPool<Channel> {
  readonly #options: AddressPoolOptions<Channel>
  #places: Place<Channel>[] = []
  #lookedUpMs = -Infinity
  #lookup: Promise<void> | null = null
  #inFlight = 0
  #closed = false

  constructor(options: AddressPoolOptions<Channel>) {
    this.#options = options
    if (isIP(options.host) !== 0) {
      this.#places = [this.#place(options.host)]
      this.#lookedUpMs = Infinity
    }
  }

  /** Calls more that fit under the limit of each address. */
  get room(): number {
    return Math.max(1, this.#places.length) * IN_FLIGHT_MAX - this.#inFlight
  }

  /** Whether an address is left that is not out. */
  get healthy(): boolean {
    return this.#places.some((place) => !this.#isOut(place))
  }

  /** Takes a place; give it back by `release`. Null: all addresses are full. Rejects when the name leads nowhere. */
  async take(): Promise<Place<Channel> | null> {
    if (this.#closed) return null
    const stale = this.#options.clock.monotonicMs() - this.#lookedUpMs >= LOOK_UP_AGAIN_MS
    if (stale) this.#lookup ??= this.#lookUp()
    // Old addresses serve while new ones are looked up.
    if (this.#places.length === 0 && this.#lookup !== null) await this.#lookup
    const place = this.#pick()
    if (place === null) return null
    place.inFlight++
    this.#inFlight++
    return place
  }

  release(place: Place<Channel>, how: 'fine' | 'failed' | 'unreachable'): void {
    place.inFlight--
    this.#inFlight--
    if (how === 'fine') {
      place.failuresInRow = 0
      place.ejections = 0
      return
    }
    place.failuresInRow++
    if (how === 'failed' && place.failuresInRow < FAILURES_MAX) return
    // Calls that were under way together fail together: that is one reason, not many.
    if (this.#isOut(place)) return
    const { clock } = this.#options
    place.failuresInRow = 0
    place.outUntilMs = clock.monotonicMs() + Math.min(OUT_MAX_MS, OUT_MS * 2 ** place.ejections)
    place.ejections++
    if (this.#lookedUpMs < Infinity) this.#lookedUpMs = -Infinity
  }

  close(): void {
    for (const place of this.#places) this.#options.close(place.channel)
    this.#places = []
    this.#closed = true
  }

  #pick(): Place<Channel> | null {
    const free = this.#places.filter((place) => place.inFlight < IN_FLIGHT_MAX)
    const healthy = free.filter((place) => !this.#isOut(place))
    const candidates = healthy.length > 0 ? healthy : free
    const first = this.#any(candidates)
    const second = this.#any(candidates)
    if (first === undefined || second === undefined) return null
    return second.inFlight < first.inFlight ? second : first
  }

  #isOut(place: Place<Channel>): boolean {
    return place.outUntilMs > this.#options.clock.monotonicMs()
  }

  #any(places: readonly Place<Channel>[]): Place<Channel> | undefined {
    return places[Math.floor(this.#options.random.unit() * places.length)]
  }

  async #lookUp(): Promise<void> {
    try {
      const found = await this.#options.lookUp(this.#options.host)
      this.#replace([...new Set(found)].slice(0, ADDRESSES_MAX))
      this.#lookedUpMs = this.#options.clock.monotonicMs()
    } catch (error) {
      if (this.#places.length === 0) throw error
      // A name server that fails is no reason to forget addresses that work; it is asked again a little later.
      this.#lookedUpMs = this.#options.clock.monotonicMs() - LOOK_UP_AGAIN_MS / 2
    } finally {
      this.#lookup = null
    }
  }

  #replace(addresses: readonly string[]): void {
    if (this.#closed) return
    const known = new Map(this.#places.map((place) => [place.address, place]))
    this.#places = addresses.map((address) => known.get(address) ?? this.#place(address))
    const kept = new Set(this.#places)
    // Calls under way end by themselves: a closed channel only takes no new ones.
    for (const place of known.values()) if (!kept.has(place)) this.#options.close(place.channel)
  }

  #place(address: string): Place<Channel> {
    const { port } = this.#options
    const target = isIP(address) === 6 ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`
    const channel = this.#options.connect(target)
    return { address, channel, inFlight: 0, failuresInRow: 0, ejections: 0, outUntilMs: -Infinity }
  }
}

/** Calls under way at one address. */
const IN_FLIGHT_MAX = 1000

/** Addresses used of one name. */
const ADDRESSES_MAX = 64

const FAILURES_MAX = 5

/** First ejection; doubles. ms */
const OUT_MS = 1000
const OUT_MAX_MS = 30_000

const LOOK_UP_AGAIN_MS = 30_000

import { isIP } from 'node:net'
import type { API, Connection } from '@platformatic/kafka'
import type { Library } from './library.ts'
import type { Address, KafkaSettings } from './options.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** Far above what we ever have under way, so that a request is on the wire when `send` returns. */
const IN_FLIGHT_MAX = 64

/**
 * A connection to one broker for one purpose, made when needed and made anew after it broke. Kafka answers the
 * requests of a connection one after another, so what may wait (fetch, join) has links of its own.
 */
export class Link {
  readonly #library: Library
  readonly #settings: KafkaSettings
  readonly #address: () => Address
  readonly #requestTimeoutMs: number
  #connection: Connection | null = null
  #connecting: Promise<Connection> | null = null
  #closed = false

  constructor(library: Library, settings: KafkaSettings, address: () => Address, requestTimeoutMs: number) {
    this.#library = library
    this.#settings = settings
    this.#address = address
    this.#requestTimeoutMs = requestTimeoutMs
  }

  /** The connection when it stands at this moment. */
  get standing(): Connection | null {
    return this.#connection?.isConnected() ? this.#connection : null
  }

  async ready(): Promise<Connection> {
    if (this.standing !== null) return this.standing
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null
    })
    return this.#connecting
  }

  async call<Arguments extends unknown[], Response>(
    api: API<Arguments, Response>,
    ...given: Arguments
  ): Promise<Response> {
    const connection = this.standing ?? (await this.ready())
    return api.async(connection, ...given)
  }

  /** Drops what is under way; the next use connects anew. */
  drop(): void {
    void this.#connection?.close().catch(() => {})
    this.#connection = null
  }

  close(): void {
    this.#closed = true
    this.drop()
  }

  async #connect(): Promise<Connection> {
    if (this.#closed) throw new Error('This connection was closed.')
    const { clientId, tls, sasl } = this.#settings
    const { host, port } = this.#address()
    const connection = new this.#library.Connection(clientId, {
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: this.#requestTimeoutMs,
      maxInflights: IN_FLIGHT_MAX,
      // TLS has no server name for an address; its certificate is held to the address all the same.
      ...(tls === undefined ? {} : { tls, tlsServerName: isIP(host) === 0 }),
      ...(sasl === undefined ? {} : { sasl }),
    })
    // Each request under way learns of it by itself; without a listener the process would end.
    connection.on('error', () => {})
    await connection.connect(host, port)
    if (this.#closed) {
      void connection.close().catch(() => {})
      throw new Error('This connection was closed.')
    }
    this.#connection = connection
    return connection
  }
}

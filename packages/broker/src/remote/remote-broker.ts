import { create } from '@bufbuild/protobuf'
import { ForebayError } from '@forebay/protocol'
import {
  Durability,
  InspectRequestSchema,
  type InspectResponse,
  OpenRequestSchema,
  type OpenResponse,
} from '@forebay/protocol/log'
import { backoffMs } from '../backoff.ts'
import {
  type Broker,
  type BrokerCapabilities,
  type ConsumeRequest,
  type InspectRequest,
  type Listener,
  type ListenRequest,
  type OpenRequest,
  type PartitionState,
  type Position,
  PublishError,
  type RecordToPublish,
  type Subscription,
} from '../broker.ts'
import { RemoteSubscription } from './consume.ts'
import { CallFailed, closed, Link } from './link.ts'
import { RemoteListener } from './listen.ts'
import { type ForebayBrokerOptions, type ResolvedRemote, resolveRemote } from './options.ts'
import { Publisher } from './publish.ts'

/** How long `open` looks for a server that answers. ms */
const OPEN_WITHIN_MS = 20_000
/** How long `inspect` does. ms */
const INSPECT_WITHIN_MS = 15_000
/** What every server takes, as long as its log does. */
const RECORD_BYTES_MAX = 8 * 1024 * 1024 - 64 * 1024

/**
 * The log that a Forebay server runs on, for other processes: the way to share the embedded log, which has one owner. It
 * comes back by itself when the server does. Throws CONFIG_INVALID for options that can't be right; reaches out in `open`
 * only.
 */
export function forebayBroker(options: ForebayBrokerOptions): Broker {
  return new RemoteBroker(resolveRemote(options))
}

class RemoteBroker implements Broker {
  readonly #options: ResolvedRemote
  readonly #link: Link
  readonly #publisher: Publisher
  readonly #readers = new Set<RemoteSubscription | RemoteListener>()
  readonly #closing = new AbortController()
  #capabilities: BrokerCapabilities = {
    name: 'remote',
    durability: 'embedded',
    shared: true,
    doneSetSurvivesRestart: true,
    recordBytesMax: RECORD_BYTES_MAX,
  }
  #opened = false
  #closed: Promise<void> | null = null

  constructor(options: ResolvedRemote) {
    this.#options = options
    this.#link = new Link(options)
    this.#publisher = new Publisher(this.#link, options, () => this.#capabilities.recordBytesMax)
  }

  /** As the server has told since it was opened; the most careful before. */
  get capabilities(): BrokerCapabilities {
    return this.#capabilities
  }

  async open({ topics, signal }: OpenRequest): Promise<void> {
    const request = create(OpenRequestSchema, {
      topics: topics.map(({ name, partitions, retentionMs }) => ({
        name,
        partitions,
        ...(retentionMs === 'forever' ? {} : { retentionMs: BigInt(retentionMs) }),
      })),
    })
    const { durability, recordBytesMax } = await this.#ask<OpenResponse>('Open', request, OPEN_WITHIN_MS, signal)
    this.#capabilities = {
      ...this.#capabilities,
      durability: DURABILITIES.get(durability) ?? 'embedded',
      recordBytesMax: Math.min(RECORD_BYTES_MAX, recordBytesMax),
    }
    this.#opened = true
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    if (this.#opened && !this.#closing.signal.aborted) return this.#publisher.publish(records)
    if (records.length === 0) return Promise.resolve([])
    const cause = closed()
    const failed = records.map((_, index) => ({ index, outcome: 'refused', cause }) as const)
    return Promise.reject(new PublishError(cause.message, failed))
  }

  async consume(request: ConsumeRequest): Promise<Subscription> {
    this.#mustBeOpen()
    return this.#start(
      new RemoteSubscription(this.#link, this.#options, request, (ended) => this.#readers.delete(ended)),
    )
  }

  async listen(request: ListenRequest): Promise<Listener> {
    this.#mustBeOpen()
    return this.#start(new RemoteListener(this.#link, this.#options, request, (ended) => this.#readers.delete(ended)))
  }

  async inspect({ topics, group = '' }: InspectRequest): Promise<readonly PartitionState[]> {
    this.#mustBeOpen()
    const request = create(InspectRequestSchema, { topics: [...topics], group })
    const { partitions } = await this.#ask<InspectResponse>('Inspect', request, INSPECT_WITHIN_MS)
    return partitions.map(({ topic, partition, start, end, committed }) => ({
      topic,
      partition,
      start: Number(start),
      end: Number(end),
      committed: committed === undefined ? null : Number(committed),
    }))
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(closed())
    await Promise.all([...[...this.#readers].map((reader) => reader.close()), this.#publisher.close()])
    this.#link.close()
  }

  async #start<Reader extends RemoteSubscription | RemoteListener>(reader: Reader): Promise<Reader> {
    this.#readers.add(reader)
    try {
      await reader.started
      return reader
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /** For what may be asked twice: again and again until it is answered, refused or late. */
  async #ask<Response>(
    name: 'Open' | 'Inspect',
    request: object,
    withinMs: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    const { clock, random, server } = this.#options
    const late = new AbortController()
    const signals = [this.#closing.signal, late.signal, ...(signal === undefined ? [] : [signal])]
    const over = AbortSignal.any(signals)
    const timer = clock.timer(withinMs, () => late.abort())
    let why = 'nobody answers there'
    try {
      for (let failures = 0; ; failures++) {
        try {
          await this.#link.ready(over)
          return await this.#link.call<Response>(name, request, clock.wallMs() + withinMs)
        } catch (thrown) {
          over.throwIfAborted()
          if (!(thrown instanceof CallFailed)) throw thrown
          if (thrown.refusal !== null && !PASSING.has(thrown.refusal.code)) throw thrown.refusal
          why = thrown.message
        }
        await clock.sleep(backoffMs(ASK_BACKOFF, failures, random), over)
      }
    } catch (thrown) {
      if (!late.signal.aborted) throw thrown
      throw new ForebayError('BROKER_UNAVAILABLE', `The server at ${server} is not ready: ${why}.`, {
        members: { server },
        cause: thrown,
      })
    } finally {
      timer.cancel()
    }
  }

  #mustBeOpen(): void {
    if (!this.#opened || this.#closing.signal.aborted) throw closed()
  }
}

const ASK_BACKOFF = { firstMs: 50, maxMs: 1_000 }
/** Refusals that another try may not meet. */
const PASSING = new Set(['OVERLOADED', 'STOPPING', 'BROKER_UNAVAILABLE'])

const DURABILITIES: ReadonlyMap<Durability, BrokerCapabilities['durability']> = new Map([
  [Durability.EMBEDDED, 'embedded'],
  [Durability.REPLICATED, 'replicated'],
  [Durability.FSYNC, 'fsync'],
] as const)

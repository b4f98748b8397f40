import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ForebayError } from '@forebay/protocol/errors'
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
import { WINDOW_OFFSETS_MAX } from '../offset-ledger.ts'
import type { LogCalls } from './log-calls.ts'
import { type EmbeddedBrokerOptions, MEBIBYTE, type ResolvedEmbedded, resolveEmbedded } from './options.ts'
import { RunningLog } from './running-log.ts'
import { callThread } from './thread-call.ts'

export const WINDOW_RECORDS_DEFAULT = 2000
export const WINDOW_BYTES_DEFAULT = 32 * MEBIBYTE

/**
 * A durable log inside this process: one SQLite file, `<dir>/log.db`, in a thread of its own. What `publish` has
 * resolved for survives a kill and a power loss of this machine. Records given to `publish` and records read share
 * memory with the log's newest records: nobody may change their bytes.
 */
export function embeddedBroker(options: EmbeddedBrokerOptions): Broker {
  return new EmbeddedBroker(resolveEmbedded(options))
}

class EmbeddedBroker implements Broker {
  readonly capabilities: BrokerCapabilities
  readonly #options: ResolvedEmbedded
  #phase: 'new' | 'opening' | 'open' | 'closed' = 'new'
  #opening: Promise<void> | null = null
  #log: RunningLog | null = null
  #closing: Promise<void> | null = null

  constructor(options: ResolvedEmbedded) {
    this.#options = options
    this.capabilities = {
      name: 'embedded',
      durability: 'embedded',
      shared: false,
      doneSetSurvivesRestart: true,
      recordBytesMax: options.recordBytesMax,
    }
  }

  open(request: OpenRequest): Promise<void> {
    if (this.#phase === 'open') return this.#log!.addTopics(request.topics)
    if (this.#phase !== 'new') {
      return Promise.reject(
        new ForebayError('CLOSED', 'open: this broker was closed before, or is being opened; make a new one.'),
      )
    }
    this.#phase = 'opening'
    this.#opening = this.#open(request)
    return this.#opening
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    if (this.#phase === 'open') return this.#log!.appender.publish(records)
    const cause = new ForebayError('CLOSED', `The broker is ${this.#phase === 'closed' ? 'closed' : 'not open yet'}.`)
    const failed = records.map((_, index) => ({ index, outcome: 'refused' as const, cause }))
    return failed.length === 0 ? Promise.resolve([]) : Promise.reject(new PublishError(cause.message, failed))
  }

  async consume(request: ConsumeRequest): Promise<Subscription> {
    const log = this.#opened()
    for (const topic of request.topics) log.partitionsOf(topic)
    const windowRecords = request.windowRecords ?? WINDOW_RECORDS_DEFAULT
    if (!Number.isInteger(windowRecords) || windowRecords < 1 || windowRecords > WINDOW_OFFSETS_MAX) {
      throw new ForebayError(
        'CONFIG_INVALID',
        `windowRecords: ${windowRecords} is not a whole number from 1 to ${WINDOW_OFFSETS_MAX}.`,
      )
    }
    const windowBytes = request.windowBytes ?? WINDOW_BYTES_DEFAULT
    const onAssigned = request.onAssigned ?? (() => {})
    return log.subscribe(request, { windowRecords, windowBytes }, onAssigned)
  }

  async listen({ topic, partition, from }: ListenRequest): Promise<Listener> {
    const log = this.#opened()
    const logs = log.partitionsOf(topic)
    const at = logs[partition]
    if (at === undefined) {
      throw new ForebayError(
        'BAD_REQUEST',
        `partition: ${topic} has ${logs.length}, numbered from 0, and no ${partition}.`,
      )
    }
    return log.listen(at, from)
  }

  async inspect({ topics, group }: InspectRequest): Promise<readonly PartitionState[]> {
    const log = this.#opened()
    const known = group === undefined ? undefined : log.groups.get(group)
    return topics
      .filter((topic) => log.has(topic))
      .flatMap((topic) =>
        log.partitionsOf(topic).map((one) => ({
          topic,
          partition: one.partition,
          start: one.start,
          end: one.end,
          committed: known?.committed(one) ?? null,
        })),
      )
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #open({ topics, signal }: OpenRequest): Promise<void> {
    signal?.throwIfAborted()
    const { dir, bytesMax } = this.#options
    const worker = new Worker(new URL('./log-thread.ts', import.meta.url), { name: 'forebay-log' })
    const thread = callThread<LogCalls>(worker, { onLost: (error) => this.#log?.fail(error) })
    try {
      const opened = await thread.call('open', { path: join(dir, 'log.db'), bytesMax, topics })
      signal?.throwIfAborted()
      if (this.#closing !== null) throw new ForebayError('CLOSED', 'The broker was closed while it opened.')
      this.#log = new RunningLog(thread, opened, this.#options)
      this.#phase = 'open'
    } catch (error) {
      this.#phase = 'closed'
      await thread.call('close', undefined).catch(() => {})
      await thread.terminate()
      throw error
    }
  }

  async #close(): Promise<void> {
    this.#phase = 'closed'
    await this.#opening?.catch(() => {})
    await this.#log?.close()
  }

  #opened(): RunningLog {
    if (this.#phase !== 'open')
      throw new ForebayError('CLOSED', `The broker is ${this.#phase === 'closed' ? 'closed' : 'not open yet'}.`)
    return this.#log!
  }
}

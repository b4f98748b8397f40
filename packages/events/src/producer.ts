import {
  type Broker,
  type Clock,
  type Position,
  PublishError,
  type Random,
  systemClock,
  systemRandom,
} from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type EncodedEvent, toRecord } from '@forebay/protocol/cloudevents'
import { BufferRoom } from './buffer-room.ts'
import type { DataOf, EventDefinition } from './define-event.ts'
import { encodeEvent } from './encode-event.ts'
import type { EventToPublish } from './event.ts'
import { type EventLog, type TopicOptions, topicsOf, useLog } from './event-log.ts'
import { type EventMeters, NO_METERS, type ProducerMeters } from './event-meters.ts'
import { prepareSchemas } from './prepare-schemas.ts'

export interface ProducerOptions<Definition extends EventDefinition = EventDefinition> extends TopicOptions {
  /**
   * Not open yet: the producer opens it, makes sure that the topics of `events` exist, and closes it. Or a log that
   * several share, which whoever opened it closes.
   */
  readonly broker: Broker | EventLog
  /** Whoever publishes: a URI reference such as '/user-service'. */
  readonly source: string
  readonly events: readonly Definition[]
  /** Bytes of events on their way; beyond it `publish` waits, first come, first served. Default 32 MiB. */
  readonly bufferBytesMax?: number
  /** Calls of `publish` that may wait for room; beyond it they reject with OVERLOADED. Default 10,000. */
  readonly waitingMax?: number
  /** As `eventMetrics` of '@forebay/events/metrics' makes them. Default: none. */
  readonly meters?: EventMeters
  readonly clock?: Clock
  readonly random?: Random
}

/** What the log says of an event that it has. */
export interface Published extends Position {
  readonly id: string
}

export interface Producer<Definition extends EventDefinition = EventDefinition> extends AsyncDisposable {
  /**
   * Resolves when the event is durable. Events of one topic and key keep the order of the calls. Rejects with
   * EVENT_INVALID, OVERLOADED or CLOSED (nothing was sent), NOT_ACCEPTED (certainly not in the log), OUTCOME_UNKNOWN (it
   * may be: publish again with the same id).
   */
  publish<Chosen extends Definition>(definition: Chosen, event: EventToPublish<DataOf<Chosen>>): Promise<Published>
  /** One that is encoded already, as the outbox keeps it. */
  publishEncoded(topic: string, event: EncodedEvent): Promise<Published>
  /** Resolves when everything published so far is durable or has failed. */
  flush(): Promise<void>
  /** Takes nothing more, flushes, closes what the producer opened. Safe to call twice. */
  close(): Promise<void>
}

/** Rejects with CONFIG_INVALID, as `Broker.open` does, or as a registry of schemas does. */
export async function createProducer<const Definition extends EventDefinition>(
  given: ProducerOptions<Definition>,
): Promise<Producer<Definition>> {
  const options = { ...DEFAULTS, ...given }
  for (const field of ['bufferBytesMax', 'waitingMax'] as const) {
    if (Number.isSafeInteger(options[field]) && options[field] > 0) continue
    throw invalid(`${field}: ${options[field]} is no whole number above 0`)
  }
  if (!SOURCE.test(given.source)) throw invalid('source: name the service by a URI reference, as in "/user-service"')
  await prepareSchemas(given.events)
  const log = await useLog(given.broker, topicsOf(given.events, [], given))
  return new LogProducer(options, log)
}

class LogProducer implements Producer {
  readonly #options: typeof DEFAULTS & ProducerOptions
  readonly #log: Awaited<ReturnType<typeof useLog>>
  readonly #known: ReadonlySet<EventDefinition>
  readonly #room: BufferRoom
  readonly #recordBytesMax: number
  readonly #meters = new Map<string, ProducerMeters>()
  #wave: Wave = newWave()
  #flushed: Promise<void> = Promise.resolve()
  #closed: Promise<void> | null = null

  constructor(options: typeof DEFAULTS & ProducerOptions, log: Awaited<ReturnType<typeof useLog>>) {
    this.#options = options
    this.#log = log
    this.#known = new Set(options.events)
    this.#room = new BufferRoom(options.bufferBytesMax, options.waitingMax)
    this.#recordBytesMax = log.broker.capabilities.recordBytesMax
  }

  async publish<Chosen extends EventDefinition>(
    definition: Chosen,
    event: EventToPublish<DataOf<Chosen>>,
  ): Promise<Published> {
    if (!this.#known.has(definition)) {
      throw invalid(`events: ${definition.name} version ${definition.version} is not among them; add it`)
    }
    return this.publishEncoded(definition.topic, encodeEvent(definition, event, this.#options))
  }

  async publishEncoded(topic: string, event: EncodedEvent): Promise<Published> {
    const record = toRecord(event, topic)
    const bytes = sizeOf(record)
    if (bytes > this.#recordBytesMax) {
      throw new ForebayError(
        'EVENT_INVALID',
        `The event has ${bytes} bytes, and the log takes ${this.#recordBytesMax}: keep what is large elsewhere and publish where it is.`,
      )
    }
    if (this.#closed !== null) throw new ForebayError('CLOSED', 'The producer was closed; the event was not sent.')
    if (this.#room.isFull) {
      const message = `${this.#options.waitingMax} events wait for room (waitingMax); the event was not sent.`
      throw new ForebayError('OVERLOADED', message)
    }
    const { clock } = this.#options
    const meters = this.#metersOf(topic)
    const begunMs = clock.monotonicMs()
    const wave = this.#wave
    wave.underWay++
    meters.onTheirWay(1)
    try {
      const turn = this.#room.take(bytes)
      if (turn !== null) await turn
      try {
        const [position] = await this.#log.broker.publish([record])
        meters.published((clock.monotonicMs() - begunMs) / 1000)
        return { ...position!, id: event.id }
      } catch (error) {
        const isRefused = error instanceof PublishError && error.failed.every(({ outcome }) => outcome === 'refused')
        meters.failed(isRefused ? 'refused' : 'unknown')
        throw error
      } finally {
        this.#room.giveBack(bytes)
      }
    } finally {
      meters.onTheirWay(-1)
      if (--wave.underWay === 0) wave.idle?.()
    }
  }

  #metersOf(topic: string): ProducerMeters {
    let meters = this.#meters.get(topic)
    if (meters === undefined) {
      meters = this.#options.meters.producer(topic)
      this.#meters.set(topic, meters)
    }
    return meters
  }

  flush(): Promise<void> {
    const wave = this.#wave
    if (wave.underWay === 0) return this.#flushed
    const before = this.#flushed
    this.#wave = newWave()
    const idle = new Promise<void>((resolve) => {
      wave.idle = resolve
    })
    this.#flushed = Promise.all([before, idle]).then(() => {})
    return this.#flushed
  }

  close(): Promise<void> {
    this.#closed ??= this.flush().then(() => this.#log.close())
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** What was published between two calls of `flush`. */
interface Wave {
  underWay: number
  idle: (() => void) | null
}

function newWave(): Wave {
  return { underWay: 0, idle: null }
}

function sizeOf({ key, value, headers }: ReturnType<typeof toRecord>): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, text] of headers) bytes += name.length + text.length
  return bytes
}

function invalid(fault: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `createProducer: ${fault}.`)
}

const SOURCE = /^[\x21-\x7e]{1,200}$/
const DEFAULTS = {
  bufferBytesMax: 32 * 1024 * 1024,
  waitingMax: 10_000,
  meters: NO_METERS,
  clock: systemClock as Clock,
  random: systemRandom as Random,
}

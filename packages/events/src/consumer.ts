import type { Broker, LogRecord } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import {
  createLetterFinisher,
  type DeadLetter,
  LOG_OWNER,
  PLAIN_TASK,
  type QueueDispatcher,
  type Running,
  STOP_GRACE_MS_DEFAULT,
  type StopOptions,
  type StopReport,
  startQueueDispatcher,
  usableParking,
} from '@forebay/server/dispatch'
import { againTopicOf, type FoundEvent, foundAtFirst } from './again/again-topic.ts'
import { type ConsumerCounts, Counts } from './consumer-counts.ts'
import {
  type ConsumerOptions,
  NEVER_MS,
  queueOf,
  type ResolvedConsumer,
  resolveConsumer,
  subscriptionOf,
  type UntypedOptions,
} from './consumer-options.ts'
import type { EventDefinition } from './define-event.ts'
import { deadTopicOf, topicsOf, useLog } from './event-log.ts'
import { LEAVE_MS } from './handler-call.ts'
import { HandlerSlots } from './handler-slots.ts'
import { HandlerTarget } from './handler-target.ts'
import { eventReader } from './read-event.ts'

/**
 * A member of a group: calls handlers with the events of its partitions. An event is finished when its handler has
 * resolved, or its dead letter or parking row is durable; only then may the group's position pass it. So every event is
 * handled at least once, and again after a crash: make effects once by the inbox.
 */
export interface Consumer extends Running {
  readonly counts: ConsumerCounts
  /** Begins no handler until `resume`; those that run go on, and the log holds back what comes. */
  pause(): void
  resume(): void
}

/**
 * Resolves when it takes part. Rejects with CONFIG_INVALID, or as `Broker.open` does. A handler that resolves has done
 * it; one that throws is tried again (`RetryError` says when), unless it throws a `DeadError`.
 */
export async function createConsumer<const Definition extends EventDefinition>(
  options: ConsumerOptions<Definition>,
): Promise<Consumer> {
  // What a handler takes is what the definitions of its name decode.
  const handlers = options.handlers as unknown as UntypedOptions['handlers']
  const resolved = resolveConsumer({ ...options, handlers })
  const log = await useLog(options.broker, topicsOf(options.events, [options.group], options))
  const consumer = new GroupMember(resolved, log)
  try {
    await consumer.start()
    return consumer
  } catch (error) {
    await consumer.stop({ graceMs: 0 })
    throw error
  }
}

class GroupMember implements Consumer {
  readonly stopped: Promise<StopReport>
  readonly #resolved: ResolvedConsumer
  readonly #log: { readonly broker: Broker; close(): Promise<void> }
  readonly #slots: HandlerSlots
  readonly #counts: Counts
  readonly #parts: Part[] = []
  readonly #graceOver = new AbortController()
  #stopping = false
  #resolveStopped: (report: StopReport | Promise<StopReport>) => void = () => {}

  constructor(resolved: ResolvedConsumer, log: { readonly broker: Broker; close(): Promise<void> }) {
    this.#resolved = resolved
    this.#log = log
    this.#slots = new HandlerSlots(resolved.concurrency)
    this.#counts = new Counts(resolved.meters.consumer(resolved.group))
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  get counts(): ConsumerCounts {
    const { handled, retried, dead, skipped, parked } = this.#counts
    return { handled, retried, dead, skipped, parked, running: this.#slots.running }
  }

  pause(): void {
    this.#slots.paused = true
  }

  resume(): void {
    this.#slots.paused = false
  }

  async start(): Promise<void> {
    const { broker } = this.#log
    const sources = sourcesOf(this.#resolved)
    const states = await broker.inspect({ topics: sources.map(({ topic }) => topic) })
    const starts = sources.map(async (source) => {
      const partitions = states.filter((one) => one.topic === source.topic).length
      this.#parts.push(await this.#startSource(source, partitions))
    })
    const failed = (await Promise.allSettled(starts)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  stop({ graceMs = STOP_GRACE_MS_DEFAULT }: StopOptions = {}): Promise<StopReport> {
    const { clock } = this.#resolved
    // The dispatchers know nothing of handlers that are called off and need a moment to end.
    const dispatchersMs = graceMs + 2 * LEAVE_MS
    const ended = this.#parts.map(({ dispatcher }) => dispatcher.stop({ graceMs: dispatchersMs }))
    if (graceMs <= 0) this.#graceOver.abort()
    else {
      const timer = clock.timer(graceMs, () => this.#graceOver.abort())
      void this.stopped.then(() => timer.cancel())
    }
    if (!this.#stopping) {
      this.#stopping = true
      this.#resolveStopped(this.#finishStopping(ended))
    }
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #startSource({ topic, from, found, addressed }: Source, partitions: number): Promise<Part> {
    const { group, events, clock, random, log, store, unknown, handlers } = this.#resolved
    const { broker } = this.#log
    const queue = queueOf(topic, partitions, this.#resolved)
    const finisher = createLetterFinisher({ broker, clock, random, log, addressed })
    const read = eventReader(events)
    const target = new HandlerTarget({
      found,
      read,
      handlers,
      unknown,
      slots: this.#slots,
      counts: this.#counts,
      clock,
    })
    const dispatcher = await startQueueDispatcher({
      queue,
      broker,
      target,
      finisher,
      partitions,
      clock,
      random,
      log,
      group: subscriptionOf(topic, group),
      from,
      readTask: (record) => taskOf(found(record), queue.name, clock.wallMs()),
      parking: store === null ? null : parkingOf(store, broker),
      meters: this.#counts.meters,
      cancellations: NO_CANCELLATIONS,
      lanes: 1,
    })
    return { dispatcher, target, close: () => finisher.close() }
  }

  async #finishStopping(ended: readonly Promise<StopReport>[]): Promise<StopReport> {
    await Promise.all(this.#parts.map(({ target }) => target.stop(this.#graceOver.signal)))
    // Dispatchers would wait for what was handed back.
    if (this.#graceOver.signal.aborted || this.#parts.some(({ target }) => target.hasHandedBack)) {
      for (const { dispatcher } of this.#parts) void dispatcher.stop({ graceMs: 0 })
    }
    const reports = await Promise.all(ended)
    for (const { close } of this.#parts) close()
    await this.#log.close()
    return { left: reports.flatMap(({ left }) => left) }
  }
}

/** A topic that a group reads. */
interface Source {
  readonly topic: string
  readonly from: ResolvedConsumer['from']
  found(record: LogRecord): FoundEvent
  /** Dead letters of what comes again lie where those of its topic lie. */
  addressed(letter: DeadLetter): DeadLetter
}

function sourcesOf({ events, group, from }: ResolvedConsumer): readonly Source[] {
  const topics = [...new Set(events.map(({ topic }) => topic))]
  const own = topics.map((topic) => ({
    topic,
    from,
    found: (record: LogRecord) => ({ record, redrives: null }),
    addressed: (letter: DeadLetter) => ({ ...letter, topic: deadTopicOf(topic, group) }),
  }))
  const again: Source = {
    topic: againTopicOf(group),
    from: 'earliest',
    found: foundAtFirst,
    addressed(letter) {
      const { record } = foundAtFirst(letter.record)
      // Anybody can have written this: only the topics of our own events surely have one for dead letters.
      const topic = topics.includes(record.topic) ? record.topic : topics[0]!
      return { ...letter, record, queue: subscriptionOf(topic, group), topic: deadTopicOf(topic, group) }
    },
  }
  return [...own, again]
}

/** What belongs to one topic. */
interface Part {
  readonly dispatcher: QueueDispatcher
  readonly target: HandlerTarget
  close(): void
}

/**
 * The event as the dispatcher sees it: named by its place, as its own id is for whoever wrote it to choose; never late,
 * whatever its time says; and nobody's but the log's, so that it is never written to its topic again, where others would
 * find it twice.
 */
function taskOf({ record, redrives }: FoundEvent, queue: string, nowMs: number) {
  const { topic, partition, offset, key, value } = record
  return {
    ...PLAIN_TASK,
    generation: redrives ?? 0,
    id: `${topic}:${partition}:${offset}`,
    queue,
    key: key === null ? null : Buffer.from(key).toString(),
    payload: value ?? NOTHING,
    contentType: '',
    headers: [],
    owner: LOG_OWNER,
    lane: 0,
    acceptedAtMs: nowMs,
    budgetMs: NEVER_MS,
  }
}

function parkingOf(store: NonNullable<ResolvedConsumer['store']>, broker: Broker) {
  const parking = usableParking(store, broker)
  if (parking !== null) return parking
  const fix = 'use one that all members of the group share, as PostgreSQL'
  throw new ForebayError(
    'CONFIG_INVALID',
    `createConsumer: store: it is this process's alone, and the log is not: ${fix}.`,
  )
}

const NOTHING = new Uint8Array()
const NO_CANCELLATIONS = { has: () => false, subscribe: () => () => {}, close: async () => {} }

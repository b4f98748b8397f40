import { type Broker, type Clock, type ConsumeRequest, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type Logger, type QueueOptions, SILENT_LOG, type Store } from '@forebay/server/dispatch'
import { type BatchHandler, handlerFaults, type ResolvedHandler, resolveHandler } from './batch-handler.ts'
import type { EventDefinition, EventOf } from './define-event.ts'
import { deadTopicOf, type EventLog, type TopicOptions } from './event-log.ts'
import { type EventMeters, NO_METERS } from './event-meters.ts'
import type { Handler, HandlerContext } from './handler-context.ts'

/** One for each name among the events, or a `BatchHandler`; of several versions of a name it gets all. */
export type HandlersOf<Definition extends EventDefinition> = {
  readonly [Name in Definition['name']]:
    | ((event: EventOf<Extract<Definition, { readonly name: Name }>>, context: HandlerContext) => unknown)
    | BatchHandler<EventOf<Extract<Definition, { readonly name: Name }>>>
}

export interface ConsumerOptions<Definition extends EventDefinition = EventDefinition> extends TopicOptions {
  /**
   * Not open yet: the consumer opens it, makes sure that the topics of `events` and of dead letters exist, and closes
   * it. Or a log that several share, which whoever opened it closes.
   */
  readonly broker: Broker | EventLog
  /**
   * Who reads, together: each event goes to one member of the group, and every group gets all. Members name the same
   * events. Letters, digits, _ and -.
   */
  readonly group: string
  /**
   * Where a new group begins: at the earliest event that is kept (default), at what is published from now on, or at the
   * first event that was published at this time or later (ms since 1970). A group that has a position keeps it.
   */
  readonly from?: NonNullable<ConsumeRequest['from']>
  /** Several versions of a name may stand side by side: each record is read by the schema of its own. */
  readonly events: readonly Definition[]
  readonly handlers: HandlersOf<Definition>
  /** 'key' (default): of one key one at a time, in the order of the log, through all retries. 'none': as they come. */
  readonly order?: 'key' | 'none'
  /** Calls of handlers at once in this process, whatever the number of partitions; a batch is one. Default 64. */
  readonly concurrency?: number
  readonly retry?: RetryGiven
  /** Longest attempt; then its signal aborts. Default 30 s. ms */
  readonly timeoutMs?: number
  /** What becomes of an event whose attempts are used up. Default 'dead'; 'park' halts its key, and needs a `store`. */
  readonly onExhausted?: 'dead' | 'park'
  /** What becomes of an event whose type nobody here handles. Default 'skip': others may share the topic. */
  readonly unknown?: 'skip' | 'dead'
  /**
   * Where events wait that have to wait longer than 5 s, so that they do not fill the window of their partition; open,
   * and closed by whoever opened it. Default: they wait in the window, 2,000 events of a partition at most.
   */
  readonly store?: Store
  /** As `eventMetrics` of '@forebay/events/metrics' makes them. Default: none. */
  readonly meters?: EventMeters
  /** Default: none. */
  readonly log?: Logger
  readonly clock?: Clock
  readonly random?: Random
}

export interface RetryGiven {
  /** In all. Default 5. */
  readonly attemptsMax?: number
  /** From the first attempt on; no further attempt starts later. Default 10 min. ms */
  readonly withinMs?: number
  /** First backoff; doubles with each attempt, with full jitter. Default 200 ms. */
  readonly backoffMs?: number
  /** Default 30 s. ms */
  readonly backoffMaxMs?: number
}

/** The same without the types of what each handler gets. */
export interface UntypedOptions extends Omit<ConsumerOptions, 'handlers'> {
  readonly handlers: Readonly<Record<string, Handler | BatchHandler>>
}

export interface ResolvedConsumer
  extends Required<Omit<UntypedOptions, 'store' | 'retry' | 'handlers' | 'partitions' | 'retentionMs'>> {
  readonly handlers: Readonly<Record<string, ResolvedHandler>>
  readonly retry: Required<RetryGiven>
  readonly store: Store | null
}

/** Throws CONFIG_INVALID that names every field at fault. */
export function resolveConsumer(given: UntypedOptions): ResolvedConsumer {
  const resolved = { ...DEFAULTS, ...given, retry: { ...RETRY_DEFAULT, ...given.retry }, store: given.store ?? null }
  const faults = [...nameFaults(given), ...numberFaults(resolved), ...parkingFaults(resolved), ...fromFaults(resolved)]
  if (faults.length > 0) throw new ForebayError('CONFIG_INVALID', `createConsumer: ${faults.join('; ')}.`)
  const handlers = Object.entries(given.handlers).map(([name, handler]) => [name, resolveHandler(handler)])
  return { ...resolved, handlers: Object.fromEntries(handlers) }
}

/** The queue that one topic is to its group. */
export function queueOf(topic: string, partitions: number, resolved: ResolvedConsumer): QueueOptions {
  const { group, order, timeoutMs, onExhausted, retry } = resolved
  return {
    name: subscriptionOf(topic, group),
    topic,
    order,
    timeoutMs,
    onExhausted,
    partitions,
    retry: { ...retry, jitter: 'full', on: null, budget: null },
    // Bounded by `concurrency`, over all topics together.
    concurrency: Number.MAX_SAFE_INTEGER,
    deadlineMs: NEVER_MS,
    target: { kind: 'workers' },
    route: null,
    key: null,
    rate: null,
    perKey: { concurrency: null, rate: null },
    fairness: null,
    breaker: null,
    onClientGone: 'continue',
    schedule: [],
    idempotency: { required: false, windowMs: 0 },
    resultTopic: null,
    schema: null,
    bodyBytesMax: 0,
  }
}

/** The name of a group on one topic: where its position is kept, and what is parked of it. */
export function subscriptionOf(topic: string, group: string): string {
  return `${group}.${topic}`
}

/** Events do not expire. A hundred years, ms */
export const NEVER_MS = 100 * 365 * 86_400_000

const DEFAULTS = {
  from: 'earliest' as const,
  order: 'key' as const,
  concurrency: 64,
  timeoutMs: 30_000,
  onExhausted: 'dead' as const,
  unknown: 'skip' as const,
  meters: NO_METERS,
  log: SILENT_LOG,
  clock: systemClock,
  random: systemRandom,
}
const RETRY_DEFAULT = { attemptsMax: 5, withinMs: 600_000, backoffMs: 200, backoffMaxMs: 30_000 }

/** Without dots: the name of a dead-letter topic must tell topic and group. */
const GROUP = /^[A-Za-z0-9][\w-]{0,99}$/
const TOPIC_CHARS_MAX = 249

function nameFaults({ group, events, handlers }: UntypedOptions): string[] {
  const faults: string[] = []
  if (!GROUP.test(group)) faults.push(`group: use up to 100 letters, digits, _ and -, got ${JSON.stringify(group)}`)
  if (events.length === 0) faults.push('events: name one at least')
  const names = new Set(events.map(({ name }) => name))
  for (const name of names) {
    faults.push(...handlerFaults(name, handlers[name]))
    const versions = events.filter((one) => one.name === name).map(({ version }) => version)
    if (new Set(versions).size < versions.length) faults.push(`events: a version of ${name} stands there twice`)
  }
  for (const name of Object.keys(handlers))
    if (!names.has(name)) faults.push(`handlers: ${name} is not among the events`)
  for (const topic of new Set(events.map((one) => one.topic))) {
    if (deadTopicOf(topic, group).length > TOPIC_CHARS_MAX)
      faults.push(`group: its dead letters of ${topic} have too long a name`)
  }
  return faults
}

type NumbersOf = Pick<ResolvedConsumer, 'concurrency' | 'timeoutMs' | 'retry'>

function numberFaults({ concurrency, timeoutMs, retry }: NumbersOf): string[] {
  const numbers = { concurrency, timeoutMs, 'retry.attemptsMax': retry.attemptsMax, 'retry.withinMs': retry.withinMs }
  const durations = { 'retry.backoffMs': retry.backoffMs, 'retry.backoffMaxMs': retry.backoffMaxMs }
  return Object.entries({ ...numbers, ...durations })
    .filter(([, value]) => !(Number.isSafeInteger(value) && value > 0))
    .map(([field, value]) => `${field}: must be a whole number above 0, got ${value}`)
}

function fromFaults({ from }: Pick<ResolvedConsumer, 'from'>): string[] {
  if (from === 'earliest' || from === 'latest' || Number.isSafeInteger(from?.timeMs)) return []
  return [`from: use 'earliest', 'latest' or { timeMs } in ms since 1970, got ${JSON.stringify(from)}`]
}

function parkingFaults({ onExhausted, store }: Pick<ResolvedConsumer, 'onExhausted' | 'store'>): string[] {
  if (onExhausted === 'park' && store === null) return ['onExhausted: to park, name a store']
  return store !== null && store.parking === null ? ['store: it keeps no parked work'] : []
}

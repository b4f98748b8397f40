import { type Broker, type Clock, type FromTime, type LogRecord, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { fromRecord, typeOfRecord } from '@forebay/protocol/cloudevents'
import { groupAt, Pace, readPartition } from '@forebay/server/dead'
import type { EventDefinition } from '../define-event.ts'
import { type EventLog, eventTopics, useLog } from '../event-log.ts'
import { againRecord, againTopic } from './again-topic.ts'
import { checkRate } from './rate.ts'

export interface ReplayOptions {
  /** Not open yet: it is opened and closed. Or a log that several share and that knows the group. */
  readonly broker: Broker | EventLog
  /** Who gets them; no other group does. */
  readonly group: string
  /** Which, by name whatever their version; or name the `topics`. */
  readonly events?: readonly EventDefinition[]
  readonly topics?: readonly string[]
  /** The first that the log took at this time or later (ms since 1970), or whatever it keeps. */
  readonly from: 'earliest' | FromTime
  /** Before this time. Default: all that are there when it begins. */
  readonly to?: FromTime
  /** Default: those of `events`, else all. Types that nobody in the group handles are passed over there. */
  readonly types?: readonly string[]
  /** Ordering keys. Default: all, and those without. */
  readonly keys?: readonly string[]
  /** 0.1 to 10,000. Default 500. */
  readonly ratePerSecond?: number
  /** Only say how many there are. */
  readonly dryRun?: boolean
  /** Stops it; it rejects with the signal's reason. What was copied is copied. */
  readonly signal?: AbortSignal
  /** After each group of events. */
  readonly onProgress?: (report: ReplayReport) => void
  readonly clock?: Clock
}

export interface ReplayReport {
  /** Given to the group, or, in a dry run, to be given. */
  readonly replayed: number
  readonly types: Readonly<Record<string, number>>
  /** Too large for the log together with the place where they were found: left out. */
  readonly tooLarge: number
}

/**
 * Copies old events to what one group reads again, partition after partition, each in its order. Rejects with BAD_REQUEST,
 * as `Broker.open` and `Broker.publish` do, and with BROKER_UNAVAILABLE where the log cannot be read; a second run gives
 * everything a second time.
 */
export async function replayEvents(options: ReplayOptions): Promise<ReplayReport> {
  const { group, events = [], clock = systemClock, ratePerSecond = RATE_DEFAULT } = options
  checkRate('replayEvents', ratePerSecond)
  const topics = [...new Set([...events.map(({ topic }) => topic), ...(options.topics ?? [])])]
  if (topics.length === 0) throw new ForebayError('BAD_REQUEST', 'replayEvents: name events or topics.')
  const log = await useLog(options.broker, [...eventTopics(topics, {}), againTopic(group)])
  try {
    return await replay({ ...options, ratePerSecond, clock }, log.broker, topics, wantedOf(options))
  } finally {
    await log.close()
  }
}

async function replay(
  options: ReplayOptions & { readonly ratePerSecond: number; readonly clock: Clock },
  broker: Broker,
  topics: readonly string[],
  wanted: (record: LogRecord) => boolean,
): Promise<ReplayReport> {
  const { group, clock, ratePerSecond, dryRun = false, signal = NEVER, onProgress = () => {}, from } = options
  const { recordBytesMax } = broker.capabilities
  const pace = new Pace(clock, ratePerSecond)
  const groupMax = groupAt(ratePerSecond)
  const types: Record<string, number> = {}
  let replayed = 0
  let tooLarge = 0
  let waiting: LogRecord[] = []
  for (const partition of await broker.inspect({ topics })) {
    for await (const records of readPartition({ broker, clock }, partition, signal, from)) {
      for (const record of records) {
        if (!wanted(record)) continue
        waiting.push(record)
        if (waiting.length >= groupMax) await flush()
      }
    }
    await flush()
  }
  return report()

  async function flush(): Promise<void> {
    const found = waiting
    waiting = []
    const copies = found.map((record) => againRecord(record, group, 0))
    const fitting = copies.filter((copy) => bytesOf(copy) <= recordBytesMax)
    tooLarge += copies.length - fitting.length
    if (fitting.length === 0) return
    if (!dryRun) {
      await pace.take(fitting.length, signal)
      await broker.publish(fitting)
    }
    replayed += fitting.length
    for (const copy of fitting) {
      const type = typeOfRecord(copy) ?? NO_TYPE
      types[type] = (types[type] ?? 0) + 1
    }
    onProgress(report())
  }

  function report(): ReplayReport {
    return { replayed, types: { ...types }, tooLarge }
  }
}

/** Times in a log need not grow, so each record is asked. */
function wantedOf({ events, types, keys, from, to }: ReplayOptions): (record: LogRecord) => boolean {
  const typesWanted =
    types === undefined ? (events === undefined ? null : new Set(events.map(({ name }) => name))) : new Set(types)
  const keysWanted = keys === undefined ? null : new Set(keys)
  const fromMs = from === 'earliest' ? Number.NEGATIVE_INFINITY : from.timeMs
  const toMs = to?.timeMs ?? Number.POSITIVE_INFINITY
  return (record) => {
    const { timestampMs, key } = record
    if (timestampMs < fromMs || timestampMs >= toMs) return false
    if (keysWanted !== null && (key === null || !keysWanted.has(Buffer.from(key).toString()))) return false
    return typesWanted === null || typesWanted.has(typeIn(record) ?? '')
  }
}

function typeIn(record: LogRecord): string | null {
  const event = fromRecord(record)
  return typeof event === 'string' ? typeOfRecord(record) : event.type
}

/** As the log counts: key, value, headers. */
function bytesOf({ key, value, headers }: ReturnType<typeof againRecord>): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, content] of headers) bytes += name.length + content.length
  return bytes
}

const RATE_DEFAULT = 500
/** In reports: a whole event as one document, or no event. */
const NO_TYPE = ''
const NEVER = new AbortController().signal

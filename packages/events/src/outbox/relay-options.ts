import { type Broker, type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type Logger, SILENT_LOG } from '@forebay/server/dispatch'
import type { EventDefinition } from '../define-event.ts'
import type { EventLog, TopicOptions } from '../event-log.ts'
import { type EventMeters, NO_METERS } from '../event-meters.ts'
import type { OutboxLag, OutboxRows } from './outbox-rows.ts'

export interface RelayOptions extends TopicOptions {
  /** As `outbox.rows(…)` gives it; the relay closes it. */
  readonly outbox: OutboxRows
  /**
   * Not open yet: the relay opens it, makes sure that the topics of `events` exist, and closes it. Or a log that several
   * share, which whoever opened it closes.
   */
  readonly broker: Broker | EventLog
  /** All that may be in the outbox: a row of a topic that is none of theirs is refused. */
  readonly events: readonly EventDefinition[]
  /** How long a relay that died keeps others from its work. Default 10 s. ms */
  readonly leaseMs?: number
  /** How long published rows are kept. Default 0: each is removed as soon as the log has it. ms */
  readonly rowRetentionMs?: number
  /** Longest pause between two looks where nobody tells of new rows. Default 250. ms */
  readonly pollMs?: number
  /** Rows that are read, published and settled together. Default 500. */
  readonly waveRowsMax?: number
  /** The same in bytes of data. Default 512 KiB; one larger row goes alone. */
  readonly waveBytesMax?: number
  /** Told about every `lagIntervalMs` by the relay that is at work. Default: nobody. */
  readonly onLag?: (lag: OutboxLag) => void
  /** Default 10 s. ms */
  readonly lagIntervalMs?: number
  /** As `eventMetrics` of '@forebay/events/metrics' makes them. Default: none. */
  readonly meters?: EventMeters
  /** Default: none. */
  readonly log?: Logger
  readonly clock?: Clock
  readonly random?: Random
}

export type ResolvedRelay = Readonly<Required<Omit<RelayOptions, 'partitions' | 'retentionMs' | 'broker'>>>

/** Throws CONFIG_INVALID that names every field at fault. */
export function resolveRelay(given: RelayOptions): ResolvedRelay {
  const resolved = { ...DEFAULTS, ...given }
  const faults = (['leaseMs', 'pollMs', 'waveRowsMax', 'waveBytesMax', 'lagIntervalMs'] as const)
    .filter((field) => !(Number.isSafeInteger(resolved[field]) && resolved[field] > 0))
    .map((field) => `${field}: ${resolved[field]} is no whole number above 0`)
  if (!(resolved.rowRetentionMs >= 0)) faults.push(`rowRetentionMs: ${resolved.rowRetentionMs} is no number from 0`)
  if (given.events.length === 0) faults.push('events: name those that may be in the outbox')
  if (faults.length > 0) throw new ForebayError('CONFIG_INVALID', `createRelay: ${faults.join('; ')}.`)
  return resolved
}

/**
 * `waveBytesMax` stays well below what the Kafka adapter puts into one batch of a partition (900,000 bytes): so the rows of one
 * key that go together are appended together or not at all.
 */
const DEFAULTS = {
  leaseMs: 10_000,
  rowRetentionMs: 0,
  pollMs: 250,
  waveRowsMax: 500,
  waveBytesMax: 512 * 1024,
  lagIntervalMs: 10_000,
  onLag: () => {},
  meters: NO_METERS,
  log: SILENT_LOG,
  clock: systemClock as Clock,
  random: systemRandom as Random,
}

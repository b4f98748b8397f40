import type { LogRecord, RecordToPublish, TopicSpec } from '@forebay/broker'
import { type RecordRules, recordEvent } from '../../history/record-event.ts'
import type { Journal } from '../journal.ts'
import type { SeededRandom } from '../random.ts'
import type { Schedule } from '../schedule.ts'
import type { Weather } from '../weather.ts'
import { Coordinator } from './coordinator.ts'
import { SimPartition } from './partition.ts'

export interface SimLogParts {
  readonly schedule: Schedule
  readonly random: SeededRandom
  readonly weather: Weather
  readonly journal: Journal
  readonly rules: RecordRules
  /** The brokers' own time, ms since 1970. */
  readonly wallMs: () => number
  /** Of appends that leave an offset out before them. */
  readonly gapShare: number
}

/** The simulated log: what it was told to keep it keeps, whatever happens to its clients. Behaves as Kafka does. */
export class SimLog {
  readonly schedule: Schedule
  readonly weather: Weather
  readonly journal: Journal
  readonly random: SeededRandom
  readonly coordinator: Coordinator
  readonly #rules: RecordRules
  readonly #wallMs: () => number
  readonly #gapShare: number
  #assignments = 0
  readonly #topics = new Map<string, readonly SimPartition[]>()

  constructor({ schedule, random, weather, journal, rules, wallMs, gapShare }: SimLogParts) {
    this.schedule = schedule
    this.random = random
    this.weather = weather
    this.journal = journal
    this.#rules = rules
    this.#wallMs = wallMs
    this.#gapShare = gapShare
    this.coordinator = new Coordinator(this)
  }

  /** A number for each time that a member is given a partition. */
  nextAssignment(): number {
    return ++this.#assignments
  }

  makeTopics(specs: readonly TopicSpec[]): void {
    for (const { name, partitions } of specs) {
      if (this.#topics.has(name)) continue
      this.#topics.set(
        name,
        Array.from({ length: partitions }, (_, partition) => new SimPartition(name, partition)),
      )
    }
  }

  partitions(topic: string): readonly SimPartition[] | undefined {
    return this.#topics.get(topic)
  }

  append(by: string, topic: string, partition: number, records: readonly RecordToPublish[]): LogRecord[] {
    const place = this.#topics.get(topic)![partition]!
    if (this.random.chance(this.#gapShare)) place.skip()
    const timestampMs = this.#wallMs()
    const appended = records.map((record) => place.append(record, timestampMs))
    for (const record of appended) {
      const event = recordEvent(record, this.#rules)
      if (event !== null) this.journal.write(by, event)
    }
    place.tellHearers()
    return appended
  }
}

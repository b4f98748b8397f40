import { type FailedRecord, type Position, PublishError, partitionOf, type RecordToPublish } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { SimProcess } from '../process.ts'
import { SIM_CAPABILITIES } from './capabilities.ts'
import type { SimLog } from './log.ts'

/** Takes what is to be published to the simulated log, partition by partition, in the order of the calls. */
export class SimPublisher {
  readonly #log: SimLog
  readonly #process: SimProcess
  readonly #timeoutMs: number
  readonly #underWay = new Set<Promise<unknown>>()
  #turn = 0
  #closed = false

  constructor(log: SimLog, process: SimProcess, timeoutMs: number) {
    this.#log = log
    this.#process = process
    this.#timeoutMs = timeoutMs
  }

  async publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    if (this.#closed) {
      const cause = new ForebayError('CLOSED', 'This broker is closed.')
      throw new PublishError(
        cause.message,
        records.map((_, index) => ({ index, outcome: 'refused', cause })),
      )
    }
    const positions: Position[] = []
    const failed: FailedRecord[] = []
    const indexed = records.flatMap((record, index) => {
      if (bytesOf(record) <= SIM_CAPABILITIES.recordBytesMax) return { record, index, place: this.#placeOf(record) }
      failed.push({ index, outcome: 'refused', cause: new Refused('The record is too large.') })
      return []
    })
    const calls = [...Map.groupBy(indexed, ({ place }) => `${place.topic} ${place.partition}`).values()].map(
      async (group) => {
        const { place } = group[0]!
        const sending = this.#send(
          place.topic,
          place.partition,
          group.map(({ record }) => record),
        )
        this.#underWay.add(sending)
        try {
          const offsets = await sending
          for (const [nth, { index }] of group.entries()) positions[index] = { ...place, offset: offsets[nth]! }
        } catch (cause) {
          const outcome = cause instanceof Refused ? 'refused' : 'unknown'
          for (const { index } of group) failed.push({ index, outcome, cause })
        } finally {
          this.#underWay.delete(sending)
        }
      },
    )
    await Promise.all(calls)
    if (failed.length > 0) {
      failed.sort((one, other) => one.index - other.index)
      throw new PublishError(`${failed.length} records are not known to be durable.`, failed)
    }
    return positions
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#underWay])
  }

  #placeOf({ topic, partition, key }: RecordToPublish): { readonly topic: string; readonly partition: number } {
    const count = this.#log.partitions(topic)?.length
    if (count === undefined) throw new ForebayError('CONFIG_INVALID', `There is no topic ${topic}.`)
    if (partition !== undefined) return { topic, partition }
    return { topic, partition: key === null ? this.#turn++ % count : partitionOf(key, count) }
  }

  #send(topic: string, partition: number, records: readonly RecordToPublish[]): Promise<readonly number[]> {
    const log = this.#log
    const by = this.#process.name
    const { weather } = log
    const latency = { thereMs: weather.latencyMs(), backMs: weather.latencyMs(), ordered: true }
    return this.#process.call(`publish ${topic} ${partition}`, latency, (answer) => {
      const fate = weather.publish()
      const append = () => log.append(by, topic, partition, records).map(({ offset }) => offset)
      switch (fate) {
        case 'refused':
          return answer.error(new Refused('The log refused it.'))
        case 'request-lost':
          return answer.error(new Error('No answer came.'), this.#timeoutMs)
        case 'late':
          log.schedule.in(this.#timeoutMs * (1 + log.random.unit()), append)
          return answer.error(new Error('No answer came.'), this.#timeoutMs)
        case 'answer-lost':
          append()
          return answer.error(new Error('No answer came.'), this.#timeoutMs)
        case 'twice': {
          const offsets = append()
          log.schedule.in(log.random.between(0, latency.backMs), append)
          return answer.ok(offsets)
        }
        case 'kept':
          return answer.ok(append())
      }
    })
  }
}

class Refused extends Error {}

function bytesOf({ key, value, headers }: RecordToPublish): number {
  const ofHeaders = headers.reduce((sum, [name, content]) => sum + name.length + content.length, 0)
  return (key?.length ?? 0) + value.length + ofHeaders
}

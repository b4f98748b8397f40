import type { LogRecord } from '@forebay/broker'
import type { Fetching, PartitionReader } from '../../packages/broker/src/kafka/fetch-loop.ts'
import type { SimProcess } from '../process.ts'
import type { SimLog } from './log.ts'

const FETCHED_MAX = 24
const AGAIN_MS = 400

/** In the place of the adapter's fetch loops: brings its readers what is in the simulated log, a few records at a time. */
export class SimFetcher implements Fetching {
  readonly #log: SimLog
  readonly #process: SimProcess
  readonly #readers = new Map<PartitionReader, { underWay: boolean }>()

  constructor(log: SimLog, process: SimProcess) {
    this.#log = log
    this.#process = process
  }

  add(reader: PartitionReader): void {
    this.#readers.set(reader, { underWay: false })
    this.#fetch(reader)
  }

  remove(reader: PartitionReader): void {
    this.#readers.delete(reader)
  }

  wake(): void {
    for (const reader of this.#readers.keys()) this.#fetch(reader)
  }

  #fetch(reader: PartitionReader): void {
    const state = this.#readers.get(reader)
    if (state === undefined || state.underWay || !reader.wanted) return
    state.underWay = true
    void this.#ask(reader).then(
      (records) => {
        state.underWay = false
        if (this.#readers.get(reader) !== state) return
        reader.offset = records.at(-1)!.offset + 1
        reader.take(
          records,
          records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0),
        )
        this.#fetch(reader)
      },
      () => {
        this.#process.clock.timer(AGAIN_MS, () => {
          state.underWay = false
          this.#fetch(reader)
        })
      },
    )
  }

  #ask({ topic, partition, offset }: PartitionReader): Promise<LogRecord[]> {
    const { weather, random } = this.#log
    const latency = { thereMs: weather.latencyMs(), backMs: weather.latencyMs(), ordered: false }
    const place = this.#log.partitions(topic)![partition]!
    return this.#process.call<LogRecord[]>('fetch', latency, (answer) => {
      if (weather.logDown) return answer.error(new Error('The connection was refused.'))
      const send = () => answer.ok(place.read(offset, random.whole(1, FETCHED_MAX)), weather.lag())
      if (place.read(offset, 1).length > 0) send()
      else place.onMore(send)
    })
  }
}

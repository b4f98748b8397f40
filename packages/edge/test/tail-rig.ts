import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RecordToPublish } from '@forebay/broker'
import { createRedaction } from '../src/decode/redaction.ts'
import { Intervals } from '../src/intervals.ts'
import type { Row } from '../src/row.ts'
import { Shipper } from '../src/ship.ts'
import { readPosition } from '../src/source-position.ts'
import { FileTail } from '../src/tail/file-tail.ts'
import { Positions } from '../src/tail/positions.ts'
import { clock, noMeters, random } from './edge-rig.ts'

/** The log, as far as a tail sees it; it can be told to take nothing. */
export class Taken {
  readonly records: RecordToPublish[] = []
  away = false

  publish(records: readonly RecordToPublish[]): Promise<never[]> {
    if (this.away) return Promise.reject(new Error('away'))
    this.records.push(...records)
    return Promise.resolve([])
  }

  /** Rows by their places, each once. */
  rows(): Row[] {
    const seen = new Map<string, Intervals>()
    return this.records.flatMap((record) => {
      const { source, epoch, first, end } = readPosition(record)!
      const places = seen.get(source + epoch) ?? new Intervals()
      seen.set(source + epoch, places)
      const row = JSON.parse(Buffer.from(record.value).toString()) as Row
      return row.kind === 'dropped' || places.add(first, end) ? [row] : []
    })
  }

  ids(): string[] {
    return this.rows().flatMap((row) => (row.kind === 'access' ? [row.requestId] : []))
  }
}

/** A run of a collector's tail over a folder that outlives it. */
export async function tail(folder: string, log: Taken, more = {}, onTrouble = () => {}) {
  const positions = await Positions.open(join(folder, 'positions.json'), clock, () => {})
  const decoding = {
    topic: 't',
    format: 'json',
    redaction: createRedaction({ parameters: [], client: 'keep', members: [] }),
    clock,
  } as const
  const shipper = new Shipper({ broker: log, clock, random, onTrouble() {}, onBetter() {} })
  const path = join(folder, 'a.log')
  const following = new FileTail({
    options: { ...decoding, path, source: 's', from: 'start', ...more },
    ...{ positions, shipper, clock, random, meters: noMeters, onTrouble },
  })
  following.start()
  const stop = async () => {
    await following.stop(new AbortController().signal)
    await positions.close()
  }
  return {
    stop,
    [Symbol.asyncDispose]: stop,
    /** As a kill would: what is under way may or may not have arrived, and positions are those of the last save. */
    async kill() {
      const saved = readFileSync(join(folder, 'positions.json'), 'utf8')
      await following.stop(AbortSignal.abort(new Error('killed')))
      await positions.close()
      return saved
    },
  }
}

export async function until(holds: () => boolean, what = () => 'nothing more happens'): Promise<void> {
  const byMs = clock.monotonicMs() + 10_000
  while (!holds()) {
    if (clock.monotonicMs() > byMs) throw new Error(what())
    await clock.sleep(10)
  }
}

export function existsPositions(folder: string): boolean {
  try {
    readFileSync(join(folder, 'positions.json'))
    return true
  } catch {
    return false
  }
}

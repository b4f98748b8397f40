import type { Clock, Random, RecordToPublish } from '@forebay/broker'
import { Decoder, type DecoderOptions } from './decode/decode.ts'
import { droppedRecord, type Loss } from './dropped.ts'
import { newEpoch } from './epoch.ts'
import type { EdgeMeters, EdgeRoad } from './meters.ts'
import type { DroppedReason } from './row.ts'
import { sequenceHeader, sourceHeader } from './source-position.ts'
import type { Spool } from './spool/spool.ts'

export interface IntakeParts {
  readonly decoding: DecoderOptions
  readonly spool: Spool
  readonly road: EdgeRoad
  readonly source: string
  readonly clock: Clock
  readonly random: Pick<Random, 'fill'>
  readonly meters: EdgeMeters
}

/**
 * Lines that come from somewhere without places of their own: the collector gives them places, from 0 on with each start.
 * So what is lost between two of them is never a gap, and is told in rows of its own.
 */
export class Intake {
  readonly #parts: IntakeParts
  readonly #epoch: string
  readonly #decoder: Decoder
  #at = 0
  /** Lost, and not told yet: the spool was full. */
  readonly #untold: Loss[] = []
  #beingTold = 0

  constructor(parts: IntakeParts) {
    this.#parts = parts
    this.#epoch = newEpoch(parts.clock, parts.random)
    this.#decoder = new Decoder(parts.decoding, parts.source, this.#epoch)
  }

  /**
   * `bytes` end with a newline. False when the spool has no room; ask again, or tell what is lost with `lost`. Rejects when
   * the disk refuses.
   */
  take(bytes: Buffer, durable: boolean): Promise<boolean> {
    const { counts } = this.#decoder
    return this.#keep(bytes.length, durable, (at, records) => {
      counts.undecodable = 0
      this.#decoder.decode(bytes, at, records)
      return counts.undecodable
    })
  }

  /** The same for rows that are made already: each is one place. `odd` of them hold what could not be read. */
  takeRows(values: readonly Buffer[], odd: number, durable: boolean): Promise<boolean> {
    const { decoding, source } = this.#parts
    const key = Buffer.from(source)
    const header = sourceHeader(source, this.#epoch)
    return this.#keep(values.length, durable, (at, records) => {
      for (const [index, value] of values.entries()) {
        const headers = [header, sequenceHeader(at + index, at + index + 1)]
        records.push({ topic: decoding.topic, key, value, headers })
      }
      return odd
    })
  }

  async #keep(
    places: number,
    durable: boolean,
    fill: (at: number, records: RecordToPublish[]) => number,
  ): Promise<boolean> {
    const { decoding, spool, road, meters, clock } = this.#parts
    const untold = this.#untold.splice(0)
    this.#beingTold += untold.length
    const records: RecordToPublish[] = untold.map((loss) => droppedRecord(decoding.topic, loss, clock.wallMs()))
    const at = this.#at
    const undecodable = fill(at, records)
    // Before it is kept: another call may come meanwhile.
    this.#at = at + places
    let kept = false
    try {
      kept = (await spool.append(decoding.topic, records, durable)) === 'kept'
      if (kept) meters.kept(road, records.length - untold.length, undecodable)
      return kept
    } finally {
      this.#beingTold -= untold.length
      if (!kept) {
        this.#untold.push(...untold)
        this.#giveBack(at, at + places)
      }
    }
  }

  /** Where the next line will stand. */
  get position(): { readonly source: string; readonly epoch: string; readonly first: number } {
    return { source: this.#parts.source, epoch: this.#epoch, first: this.#at }
  }

  /** Puts rows of these losses into the spool, flushed: false when it has no room. */
  async tellThat(losses: readonly Loss[]): Promise<boolean> {
    const { decoding, spool, meters, clock } = this.#parts
    const records = losses.map((loss) => droppedRecord(decoding.topic, loss, clock.wallMs()))
    if ((await spool.append(decoding.topic, records, true)) === 'full') return false
    for (const { reason, lines } of losses) meters.dropped(reason, lines)
    return true
  }

  /** Whether what was taken is flushed to the disk and what was lost is told there; tries to make it so. */
  async settle(): Promise<boolean> {
    await this.tell()
    return this.#untold.length === 0 && this.#beingTold === 0 && (await this.#parts.spool.flush())
  }

  /** So many lines never got here, or could not be kept; said in a row with the next that is. */
  lost(reason: DroppedReason, lines: number): void {
    const last = this.#untold.at(-1)
    const loss: Loss = { reason, source: this.#parts.source, epoch: this.#epoch, first: this.#at, end: this.#at, lines }
    if (last?.reason === reason) this.#untold[this.#untold.length - 1] = { ...last, lines: (last.lines ?? 0) + lines }
    else this.#untold.push(loss)
    this.#parts.meters.dropped(reason, lines)
  }

  /** Says what is lost although no line follows. */
  async tell(): Promise<void> {
    if (this.#untold.length > 0) await this.take(Buffer.alloc(0), true)
  }

  /** Places that no row got; when others came behind, a row has to say that they are empty. */
  #giveBack(first: number, end: number): void {
    const { source } = this.#parts
    if (this.#at === end) this.#at = first
    else this.#untold.push({ reason: 'spool-full', source, epoch: this.#epoch, first, end, lines: 0 })
  }
}

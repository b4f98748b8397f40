import type { Clock, Random, RecordToPublish } from '@forebay/broker'
import { Decoder, type DecoderOptions } from '../decode/decode.ts'
import { droppedRecord } from '../dropped.ts'
import { newEpoch } from '../epoch.ts'
import type { EdgeMeters } from '../meters.ts'
import type { Shipper } from '../ship.ts'
import { findGenerations, unknownGenerations } from './find-generations.ts'
import type { Followed } from './followed.ts'
import { Generation } from './generation.ts'
import { PackedGeneration } from './packed-generation.ts'
import type { Positions, SavedGeneration } from './positions.ts'
import { inodeOf, packingOf } from './siblings.ts'

export interface FileTailOptions extends DecoderOptions {
  /** Absolute. */
  readonly path: string
  /** Of every row. */
  readonly source: string
  /** Where a file begins that is met for the first time of all. */
  readonly from: 'start' | 'end'
  /** How long a file that was rotated away may be silent until it is let go. Default 60 s. ms */
  readonly rotatedQuietMs?: number
}

export interface FileTailParts {
  readonly options: FileTailOptions
  readonly positions: Positions
  readonly shipper: Shipper
  readonly clock: Clock
  readonly random: Pick<Random, 'fill'>
  readonly meters: EdgeMeters
  /** What an operator should know; said once until it is better. */
  readonly onTrouble: (text: string, cause: unknown) => void
}

/**
 * Follows one path through its rotations. What the log has not taken is not passed by: while the log is away the file is
 * simply not read on (P6), and nothing is lost unless somebody removes it.
 */
export class FileTail {
  readonly #parts: FileTailParts
  readonly #stopping = new AbortController()
  /** Ends what is under way. */
  readonly #giveUp = new AbortController()
  /** Oldest first; the last is the one at the path, as far as is known. */
  #generations: Followed[] = []
  #done: SavedGeneration[] = []
  readonly #decoders = new Map<Followed, Decoder>()
  #underWay: Promise<void> = Promise.resolve()
  #lookedMs = Number.NEGATIVE_INFINITY
  /** Files beside the path that were written after it are ones we know. Wall time; null before the first start. */
  #knownUntilMs: number | null
  /** Files of the last run that are no more, and of which no row tells yet; null until they were looked for. */
  #untold: SavedGeneration[] | null = null
  /** A file is followed of which the positions on the disk know nothing. */
  #unsaved = false
  #troubled = false
  #running: Promise<void> = Promise.resolve()

  constructor(parts: FileTailParts) {
    this.#parts = parts
    this.#knownUntilMs = parts.positions.knows(parts.options.path) ? parts.positions.savedMs : null
  }

  /** Bytes that are in files and not in the log; for the gauge. */
  async behindBytes(): Promise<number> {
    const sizes = await Promise.all(this.#generations.map(async (one) => (await one.size()) - one.shippedOffset))
    return sizes.reduce((sum, bytes) => sum + Math.max(0, bytes), 0)
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Reads nothing more; what is under way may finish until `signal` aborts. Resolves to what was left, if anything. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping.abort()
    const giveUp = () => this.#giveUp.abort(signal.reason)
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
    await this.#running
    signal.removeEventListener('abort', giveUp)
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts
    while (!this.#stopping.signal.aborted) {
      let progressed = false
      try {
        if (clock.monotonicMs() - this.#lookedMs >= POLL_MS) await this.#look()
        for (const generation of [...this.#generations]) {
          if (await this.#advance(generation)) progressed = true
        }
        if (!progressed) await this.#retire()
        this.#troubled = false
      } catch (thrown) {
        this.#say(thrown)
      }
      if (!progressed) await clock.sleep(POLL_MS, this.#stopping.signal).catch(() => {})
    }
    await this.#underWay.catch(() => {})
    await Promise.all(this.#generations.map((generation) => generation.close()))
  }

  /** Reads the next piece of a file while the one before is on its way. */
  async #advance(generation: Followed): Promise<boolean> {
    const size = await generation.size()
    if (size === generation.idleSize) return false
    const base = generation.readOffset
    const bytes = await generation.read(READ_BYTES)
    if (bytes === null) {
      await this.#cut(generation)
      return true
    }
    const records: RecordToPublish[] = []
    const taken = (await this.#decoderOf(generation)).decode(bytes, base, records)
    generation.idleSize = taken === 0 ? base + bytes.length : -1
    if (taken === 0) return false
    await this.#take(generation, taken, records)
    return true
  }

  async #take(generation: Followed, bytes: number, records: readonly RecordToPublish[]): Promise<void> {
    const { clock, meters, shipper } = this.#parts
    generation.readOffset += bytes
    generation.activeMs = clock.monotonicMs()
    await generation.learnHead()
    const { counts } = await this.#decoderOf(generation)
    const { undecodable } = counts
    counts.undecodable = 0
    await this.#underWay
    const end = generation.readOffset
    this.#underWay = shipper.ship(records, this.#giveUp.signal).then(() => {
      generation.shippedOffset = end
      meters.kept('file', records.length, undecodable)
      this.#tellPositions()
    })
    // Heard of where it is waited for.
    this.#underWay.catch(() => {})
  }

  /** New files at the path or beside it. */
  async #look(): Promise<void> {
    const { options, positions, clock } = this.#parts
    const wallMs = clock.wallMs()
    const isStart = this.#lookedMs === Number.NEGATIVE_INFINITY
    await this.#resume()
    const current = await inodeOf(options.path)
    const isKnown = this.#generations.some((one) => one.inode === current)
    const isFirst = this.#knownUntilMs === null
    if (isFirst) this.#unsaved = true
    if (!isKnown) {
      const found = await unknownGenerations({
        path: options.path,
        writtenAfterMs: this.#knownUntilMs,
        known: this.#generations.map((one) => one.inode),
        done: this.#done,
        packed: isStart ? { known: positions.of(options.path) } : null,
        begin: (path) => this.#begin(path, isFirst ? options.from : 'start'),
        nowMs: clock.monotonicMs(),
      })
      this.#generations.push(...found)
      if (found.length > 0) this.#unsaved = true
    }
    if (this.#unsaved) {
      this.#tellPositions()
      // Before the first row: a file that was read a bit must be known again under the same epoch.
      await positions.save()
      this.#unsaved = false
    }
    this.#knownUntilMs = wallMs
    this.#lookedMs = clock.monotonicMs()
  }

  #begin(path: string, at: 'start' | 'end'): Promise<Followed | null> {
    const { clock, random } = this.#parts
    const [epoch, nowMs] = [newEpoch(clock, random), clock.monotonicMs()]
    const isPacked = path !== this.#parts.options.path && packingOf(path) !== null
    if (isPacked) return PackedGeneration.begin(path, epoch, nowMs)
    return Generation.begin(path, epoch, nowMs, at)
  }

  /** Finds the files of the last run again, wherever they are by now: once, however often what comes then fails. */
  async #resume(): Promise<void> {
    const { options, positions, clock } = this.#parts
    if (this.#untold === null) {
      const saved = positions.of(options.path)
      this.#done = saved.filter((one) => one.done)
      const { generations, gone } = await findGenerations(options.path, saved, clock.monotonicMs())
      this.#generations = generations
      this.#untold = [...gone]
    }
    for (let one = this.#untold[0]; one !== undefined; one = this.#untold[0]) {
      await this.#lost(one, positions.savedMs ?? clock.wallMs())
      this.#untold.shift()
    }
  }

  /** The file was cut, by copytruncate or by hand: what follows is another epoch of the same file. */
  async #cut(generation: Followed): Promise<void> {
    const { options, positions } = this.#parts
    await this.#underWay
    await this.#lost(generation.saved(), this.#parts.clock.wallMs())
    const again = await this.#begin(options.path, 'start')
    await this.#letGo(generation)
    if (again !== null && again.inode === generation.inode) this.#generations.push(again)
    else await again?.close()
    this.#tellPositions()
    await positions.save()
  }

  async #lost({ epoch, offset, size }: SavedGeneration, wallMs: number): Promise<void> {
    const { options, shipper, meters } = this.#parts
    const { topic, source } = options
    const loss = { reason: 'file-gone', source, epoch, first: offset, end: size, lines: null } as const
    await shipper.ship([droppedRecord(topic, loss, wallMs)], this.#giveUp.signal)
    meters.dropped(loss.reason, null)
  }

  /** Lets go of files that were rotated away and have been read to their end. */
  async #retire(): Promise<void> {
    const { options, clock, positions } = this.#parts
    const quietMs = options.rotatedQuietMs ?? ROTATED_QUIET_MS
    const nowMs = clock.monotonicMs()
    for (const generation of this.#generations.slice(0, -1)) {
      if (nowMs - generation.activeMs < quietMs) continue
      const bytes = await generation.read(READ_BYTES)
      if (bytes === null && generation.isDamaged) {
        await this.#cut(generation)
        continue
      }
      const records: RecordToPublish[] = []
      const taken = bytes && (await this.#decoderOf(generation)).decode(bytes, generation.readOffset, records, true)
      if (taken) {
        await this.#take(generation, taken, records)
        continue
      }
      await this.#underWay
      this.#done = [...this.#done, generation.saved(true)].slice(-DONE_KEPT)
      await this.#letGo(generation)
      this.#tellPositions()
      await positions.save()
    }
  }

  async #letGo(generation: Followed): Promise<void> {
    this.#generations = this.#generations.filter((one) => one !== generation)
    this.#decoders.delete(generation)
    await generation.close()
  }

  async #decoderOf(generation: Followed): Promise<Decoder> {
    const known = this.#decoders.get(generation)
    if (known !== undefined) return known
    const { options } = this.#parts
    const decoder = new Decoder(options, options.source, generation.epoch, await generation.isWithinLine())
    this.#decoders.set(generation, decoder)
    return decoder
  }

  #tellPositions(): void {
    const { options, positions } = this.#parts
    positions.set(options.path, [...this.#done, ...this.#generations.map((one) => one.saved())])
  }

  #say(thrown: unknown): void {
    if (this.#troubled || this.#giveUp.signal.aborted) return
    this.#troubled = true
    this.#parts.onTrouble(`${this.#parts.options.path} cannot be read; trying again`, thrown)
  }
}

/** Also how old a line may get while a file is followed. */
const POLL_MS = 100
/** Whole pieces of a file; a tail holds two of them in memory, and the records made of them. */
const READ_BYTES = 1024 * 1024
/** nginx goes on writing to a file that was renamed until it is told to open a new one. */
const ROTATED_QUIET_MS = 60_000
/** Files of the past that are known again should somebody touch them. */
const DONE_KEPT = 32

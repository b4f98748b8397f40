import { type Backoff, backoffMs, type Clock, type Random, type Timer } from '@forebay/broker'
import { newEpoch } from '../epoch.ts'
import type { Batch, LineBuffer } from './line-buffer.ts'
import type { Poster } from './post-batch.ts'

export interface SenderParts {
  readonly buffer: LineBuffer
  readonly poster: Poster
  /** 'billing/web-1' */
  readonly source: string
  readonly key: string | null
  /** How long the first line of a batch waits for others. */
  readonly batchMs: number
  readonly clock: Clock
  readonly random: Random
  /** For people, once each time it begins to fail, and for what is lost. */
  readonly onTrouble: (text: string) => void
}

/**
 * Brings what a buffer holds to the collector, in order, one batch at a time, again and again until it is kept. Batches say
 * which bytes of this start they are, so one that is sent twice is known as one, and what is missing shows.
 */
export class LineSender {
  readonly #parts: SenderParts
  readonly #epoch: string
  readonly #giveUp = new AbortController()
  /** What waits to be tried again is tried now. */
  readonly #ending = new AbortController()
  /** Bytes that the collector has. */
  #first = 0
  #isEnded = false
  #isFailing = false
  /** What waits has waited long enough. */
  #isDue = false
  #timer: Timer | null = null
  #wake: (() => void) | null = null
  readonly #running: Promise<void>

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#epoch = newEpoch(parts.clock, parts.random)
    this.#running = this.#run()
  }

  /** Something was written. */
  notice(): void {
    const { buffer, clock, batchMs } = this.#parts
    if (buffer.isReady) this.#stir()
    else if (!buffer.isEmpty) this.#timer ??= clock.timer(batchMs, () => this.#stir())
  }

  /** Sends what is left for so long; says what then is lost. */
  async end(withinMs: number): Promise<void> {
    const { buffer, clock, poster, onTrouble } = this.#parts
    this.#isEnded = true
    this.#ending.abort()
    this.#stir()
    const late = clock.timer(withinMs, () => this.#giveUp.abort(new Error('The time to send is over.')))
    await this.#running
    late.cancel()
    this.#timer?.cancel()
    poster.close()
    if (buffer.untold > 0)
      onTrouble(`${buffer.untold} log lines of ${this.#parts.source} did not reach the collector and are lost`)
  }

  #stir(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#isDue = true
    this.#wake?.()
  }

  async #run(): Promise<void> {
    const { buffer } = this.#parts
    while (!this.#giveUp.signal.aborted) {
      if (!this.#isEnded && !this.#isDue && !buffer.isReady) {
        // Also for drops, which nobody writes.
        this.notice()
        await this.#stirred()
        continue
      }
      this.#isDue = false
      const batch = buffer.next()
      if (batch !== null) await this.#deliver(batch)
      else if (this.#isEnded) return
    }
  }

  /** Until it is kept, refused for good, or the time is over. */
  async #deliver({ bytes, lines, dropped }: Batch): Promise<void> {
    const { buffer, poster, clock, random, onTrouble } = this.#parts
    const { signal } = this.#giveUp
    for (let failures = 0; !signal.aborted; failures++) {
      const posted = await poster.post(bytes, this.#headers(dropped))
      if (posted.kind === 'kept') {
        this.#isFailing = false
        this.#first += bytes.length
        return buffer.done()
      }
      if (posted.kind === 'refused') {
        onTrouble(`the collector refuses ${lines} log lines, which are dropped: ${posted.why}`)
        return buffer.refused()
      }
      this.#failing(posted.why)
      const delayMs = posted.afterMs ?? backoffMs(BACKOFF, failures, random)
      const waits = this.#isEnded
        ? clock.sleep(Math.min(delayMs, END_DELAY_MS), signal)
        : clock.sleep(delayMs, this.#ending.signal)
      await waits.catch(() => {})
    }
  }

  #stirred(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null
        resolve()
      }
    })
  }

  #failing(why: string): void {
    if (this.#isFailing) return
    this.#isFailing = true
    this.#parts.onTrouble(`logs do not reach the collector and wait in memory: ${why}`)
  }

  #headers(dropped: number): Record<string, string> {
    const { source, key } = this.#parts
    return {
      'forebay-source': source,
      'forebay-epoch': this.#epoch,
      'forebay-first': String(this.#first),
      ...(dropped === 0 ? {} : { 'forebay-dropped': String(dropped) }),
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    }
  }
}

const BACKOFF: Backoff = { firstMs: 200, maxMs: 5_000 }
/** When the process waits to end, a collector that comes back is worth asking for often. */
const END_DELAY_MS = 250

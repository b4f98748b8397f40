import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, Delivery, Listener, LogRecord, Subscription } from '../broker.ts'

const WITHIN_MS = 60_000

/** Takes single items out of something that iterates in batches, and never drops what it has pulled. */
class ItemReader<Chunk, Item> {
  readonly #iterator: AsyncIterator<Chunk>
  readonly #itemsOf: (chunk: Chunk) => readonly Item[]
  #left: Item[] = []
  #pulling: Promise<IteratorResult<Chunk>> | null = null

  constructor(source: AsyncIterable<Chunk>, itemsOf: (chunk: Chunk) => readonly Item[]) {
    this.#iterator = source[Symbol.asyncIterator]()
    this.#itemsOf = itemsOf
  }

  /** The next `count` items, no more and no fewer. */
  async take(count: number): Promise<Item[]> {
    const taken: Item[] = []
    if (count > 0) await this.see((item) => taken.push(item) === count)
    return taken
  }

  /** Items up to and with the one that satisfies `last`. */
  async takeUntil(last: (item: Item) => boolean): Promise<Item[]> {
    const taken: Item[] = []
    await this.see((item) => {
      taken.push(item)
      return last(item)
    })
    return taken
  }

  /** Hands out one item after another until `enough` says so. */
  async see(enough: (item: Item) => boolean): Promise<void> {
    for (let seen = 0; ; seen++) {
      if (this.#left.length === 0 && !(await this.#pull(WITHIN_MS))) {
        throw new Error(`Nothing more came within ${WITHIN_MS} ms, after ${seen} items.`)
      }
      if (enough(this.#left.shift()!)) return
    }
  }

  /** What is at hand without waiting longer than `ms` for each batch. */
  async takeWithin(ms: number): Promise<Item[]> {
    while (await this.#pull(ms));
    return this.#left.splice(0)
  }

  /** Resolves once the iteration has ended; what came before the end is dropped. */
  async ended(): Promise<void> {
    for (;;) {
      const result = await (this.#pulling ?? this.#iterator.next())
      this.#pulling = null
      if (result.done === true) return
    }
  }

  async #pull(withinMs: number): Promise<boolean> {
    this.#pulling ??= this.#iterator.next()
    const timeout = new AbortController()
    const late = sleep(withinMs, null, { signal: timeout.signal }).catch(() => null)
    const result = await Promise.race([this.#pulling, late])
    timeout.abort()
    if (result === null) return false
    this.#pulling = null
    if (result.done === true) throw new Error('The iteration has ended.')
    this.#left.push(...this.#itemsOf(result.value))
    return true
  }
}

export class DeliveryReader extends ItemReader<Batch, Delivery> {
  constructor(subscription: Subscription) {
    super(subscription, (batch) => {
      checkBatch(batch)
      return batch.deliveries
    })
  }
}

export class RecordReader extends ItemReader<readonly LogRecord[], LogRecord> {
  constructor(listener: Listener) {
    super(listener, (chunk) => {
      if (chunk.length === 0) throw new Error('A listener gave an empty batch.')
      return chunk
    })
  }
}

/** What the port says of every batch. */
function checkBatch(batch: Batch): void {
  if (batch.deliveries.length === 0) throw new Error('A subscription gave an empty batch.')
  let last = -1
  for (const { record, lost } of batch.deliveries) {
    if (record.topic !== batch.topic || record.partition !== batch.partition) {
      throw new Error(`A batch of ${batch.topic}/${batch.partition} holds ${record.topic}/${record.partition}.`)
    }
    if (record.offset <= last) throw new Error(`A batch holds offset ${record.offset} after ${last}.`)
    if (lost !== batch.deliveries[0]!.lost) throw new Error('Deliveries of one assignment have different signals.')
    last = record.offset
  }
}

export function offsetsOf(deliveries: readonly Delivery[]): number[] {
  return deliveries.map((one) => one.record.offset)
}

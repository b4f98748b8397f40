import { hash } from 'node:crypto'
import { ForebayError } from '@forebay/protocol'
import type { BlobRef } from '../../task.ts'
import { blobDamaged, blobMissing, blobsClosed, blobUnavailable } from '../blob-errors.ts'
import type { BlobCapabilities, BlobStore, SweptBlobs } from '../blob-store.ts'
import { isWhatItNames, refOf } from '../digest.ts'
import { newestFirst, Periods } from '../periods.ts'
import { type Bucket, openBucket } from './bucket.ts'
import { type ResolvedS3Blobs, resolveS3Blobs, type S3BlobsOptions } from './options.ts'
import { configurationFault, isNoSuchKey } from './s3-error.ts'

/**
 * Blobs as objects of a bucket, in AWS or any server that speaks S3: `<prefix><period>/<sha256>`, pins as copies in
 * `<prefix>pinned/<sha256>/`. A put is one request and overwrites what is there with the same; in a bucket that keeps
 * versions, that leaves one behind.
 */
export function s3Blobs(options: S3BlobsOptions): BlobStore {
  return new S3Blobs(resolveS3Blobs(options))
}

class S3Blobs implements BlobStore {
  readonly capabilities: BlobCapabilities = {
    name: 's3',
    durability: 'What the S3 server promises for an object it has acknowledged.',
  }
  readonly #options: ResolvedS3Blobs
  readonly #periods: Periods
  readonly #place: string
  #phase: 'new' | 'open' | 'closed' = 'new'
  #bucket: Bucket | null = null
  readonly #open = new Set<Promise<unknown>>()
  /** Ends sweeps, which may be long. */
  readonly #closing = new AbortController()

  constructor(options: ResolvedS3Blobs) {
    this.#options = options
    this.#periods = new Periods(options.clock, options.keepMs)
    this.#place = `s3://${options.bucket}/${options.prefix}${options.endpoint === null ? '' : ` at ${options.endpoint}`}`
  }

  async open(): Promise<void> {
    if (this.#phase !== 'new') throw new ForebayError('CLOSED', 'open: these blobs were opened before.')
    this.#phase = 'open'
    this.#bucket = await openBucket(this.#options)
    await this.#run(async (bucket, signal) => {
      try {
        await bucket.look(signal)
      } catch (thrown) {
        throw configurationFault(thrown, this.#options.bucket) ?? thrown
      }
    })
  }

  put(bytes: Uint8Array, atLeastMs = 0): Promise<BlobRef> {
    return this.#run(async (bucket, signal) => {
      const ref = await refOf(bytes)
      await bucket.put(this.#key(this.#periods.keeping(atLeastMs), ref), bytes, ref, signal)
      return ref
    })
  }

  get(ref: BlobRef): Promise<Uint8Array> {
    return this.#run(async (bucket, signal) => {
      let damaged = false
      for await (const key of this.#copies(bucket, ref, signal)) {
        const bytes = await bucket.get(key, ref.bytes, signal)
        if (bytes === null) continue
        if (await isWhatItNames(ref, bytes)) return bytes
        damaged = true
      }
      throw damaged ? blobDamaged(ref) : blobMissing(ref)
    })
  }

  pin(ref: BlobRef, name: string): Promise<void> {
    return this.#run(async (bucket, signal) => {
      const pin = this.#pinKey(ref, name)
      for await (const key of this.#copies(bucket, ref, signal)) {
        if (key === pin) return
        try {
          return await bucket.copy(key, pin, signal)
        } catch (thrown) {
          if (!isNoSuchKey(thrown)) throw thrown
        }
      }
      throw blobMissing(ref)
    })
  }

  unpin(ref: BlobRef, name: string): Promise<void> {
    return this.#run((bucket, signal) => bucket.remove([this.#pinKey(ref, name)], signal))
  }

  /** As long as it takes: each request has the time of a call to itself. */
  async sweep(): Promise<SweptBlobs> {
    const { prefix } = this.#options
    let removed = 0
    const folders = await this.#run((bucket, signal) => bucket.folders(prefix, signal))
    for (const period of folders) {
      if (!this.#periods.is(period) || !this.#periods.isOver(period)) continue
      for (;;) {
        if (this.#closing.signal.aborted) return { removed }
        const count = await this.#run(async (bucket, signal) => {
          const keys = await bucket.firstKeys(`${prefix}${period}/`, signal)
          if (keys.length > 0) await bucket.remove(keys, signal)
          return keys.length
        })
        if (count === 0) break
        removed += count
      }
    }
    return { removed }
  }

  async close(): Promise<void> {
    this.#phase = 'closed'
    this.#closing.abort()
    await Promise.allSettled(this.#open)
    this.#bucket?.close()
  }

  /** Where it may be, likely places first; the bucket is asked what there is only when those have nothing. */
  async *#copies(bucket: Bucket, ref: BlobRef, signal: AbortSignal): AsyncGenerator<string> {
    const likely = [this.#periods.current(), this.#periods.previous()]
    for (const period of likely) yield this.#key(period, ref)
    const { prefix } = this.#options
    const periods = (await bucket.folders(prefix, signal)).filter((name) => this.#periods.is(name))
    for (const period of newestFirst(periods)) {
      if (!likely.includes(period)) yield this.#key(period, ref)
    }
    yield* await bucket.firstKeys(`${prefix}pinned/${ref.sha256}/`, signal)
  }

  #key(period: string, { sha256 }: BlobRef): string {
    return `${this.#options.prefix}${period}/${sha256}`
  }

  #pinKey({ sha256 }: BlobRef, name: string): string {
    return `${this.#options.prefix}pinned/${sha256}/${hash('sha256', name).slice(0, 40)}`
  }

  async #run<Value>(act: (bucket: Bucket, signal: AbortSignal) => Promise<Value>): Promise<Value> {
    if (this.#phase !== 'open' || this.#bucket === null) throw blobsClosed()
    const { clock, timeoutMs } = this.#options
    const over = new AbortController()
    const timer = clock.timer(timeoutMs, () => over.abort(new Error(`no answer within ${timeoutMs} ms`)))
    const acting = act(this.#bucket, over.signal)
    this.#open.add(acting)
    try {
      return await acting
    } catch (thrown) {
      if (thrown instanceof ForebayError) throw thrown
      throw blobUnavailable(this.#place, over.signal.aborted ? over.signal.reason : thrown)
    } finally {
      timer.cancel()
      this.#open.delete(acting)
    }
  }
}

import type { BlobRef } from '../../task.ts'
import { loadLibrary } from './library.ts'
import type { ResolvedS3Blobs } from './options.ts'
import { isNoSuchKey } from './s3-error.ts'

/** The few things we ask of a bucket. Each rejects with what the library threw, or when the signal aborts. */
export interface Bucket {
  /** Whether it is there and ours to use. */
  look(signal: AbortSignal): Promise<void>
  put(key: string, bytes: Uint8Array, ref: BlobRef, signal: AbortSignal): Promise<void>
  /** Null when it is not there, or has another length. */
  get(key: string, bytes: number, signal: AbortSignal): Promise<Uint8Array | null>
  copy(from: string, to: string, signal: AbortSignal): Promise<void>
  /** At most `KEYS_MAX`; what is not there is fine. */
  remove(keys: readonly string[], signal: AbortSignal): Promise<void>
  /** Names up to the next '/' after the prefix. */
  folders(prefix: string, signal: AbortSignal): Promise<readonly string[]>
  /** At most `KEYS_MAX`. */
  firstKeys(prefix: string, signal: AbortSignal): Promise<readonly string[]>
  close(): void
}

/** What S3 lists and removes in one request. */
const KEYS_MAX = 1_000
/** Of one request; a call makes up to three before its own time is over. ms */
const CONNECT_MS_MAX = 3_000
/** A connection on which nothing moves is given up. ms */
const SILENCE_MS_MAX = 10_000
const CONNECTIONS_MAX = 64

export async function openBucket(options: ResolvedS3Blobs): Promise<Bucket> {
  const library = await loadLibrary()
  const { bucket: Bucket, region, endpoint, credentials } = options
  const agent = { maxSockets: CONNECTIONS_MAX, keepAlive: true }
  const client = new library.S3Client({
    region,
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    // The SDK writes into what it is given.
    ...(credentials === null ? {} : { credentials: { ...credentials } }),
    maxAttempts: 3,
    // Other servers than AWS's own stumble over checksums in trailers; the digest of a put goes out in any case.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: SILENCE_MS_MAX,
      httpAgent: agent,
      httpsAgent: agent,
      logger: SILENT,
    },
    logger: SILENT,
  })
  return {
    async look(abortSignal) {
      await client.send(new library.HeadBucketCommand({ Bucket }), { abortSignal })
    },

    async put(Key, bytes, ref, abortSignal) {
      const ChecksumSHA256 = Buffer.from(ref.sha256, 'hex').toString('base64')
      const input = { Bucket, Key, Body: bytes, ContentLength: bytes.length, ChecksumSHA256 }
      await client.send(new library.PutObjectCommand(input), { abortSignal })
    },

    async get(Key, bytes, abortSignal) {
      try {
        const { Body, ContentLength } = await client.send(new library.GetObjectCommand({ Bucket, Key }), {
          abortSignal,
        })
        if (Body === undefined) return new Uint8Array()
        if (ContentLength !== undefined && ContentLength !== bytes) {
          ;(Body as unknown as { destroy(): void }).destroy()
          return null
        }
        return await Promise.race([Body.transformToByteArray(), aborted(abortSignal)])
      } catch (thrown) {
        if (isNoSuchKey(thrown)) return null
        throw thrown
      }
    },

    async copy(from, Key, abortSignal) {
      const CopySource = [Bucket, ...from.split('/')].map(encodeURIComponent).join('/')
      await client.send(new library.CopyObjectCommand({ Bucket, Key, CopySource }), { abortSignal })
    },

    async remove(keys, abortSignal) {
      if (keys.length === 1) {
        await client.send(new library.DeleteObjectCommand({ Bucket, Key: keys[0]! }), { abortSignal })
        return
      }
      const Delete = { Objects: keys.map((Key) => ({ Key })), Quiet: true }
      const { Errors } = await client.send(new library.DeleteObjectsCommand({ Bucket, Delete }), { abortSignal })
      const first = Errors?.[0]
      if (first !== undefined) throw new Error(`${first.Key} was not removed: ${first.Code} ${first.Message}`)
    },

    async folders(Prefix, abortSignal) {
      const names: string[] = []
      let ContinuationToken: string | undefined
      do {
        const input = { Bucket, Prefix, Delimiter: '/', ContinuationToken }
        const page = await client.send(new library.ListObjectsV2Command(input), { abortSignal })
        for (const { Prefix: folder } of page.CommonPrefixes ?? []) names.push(folder!.slice(Prefix.length, -1))
        ContinuationToken = page.NextContinuationToken
      } while (ContinuationToken !== undefined)
      return names
    },

    async firstKeys(Prefix, abortSignal) {
      const input = { Bucket, Prefix, MaxKeys: KEYS_MAX }
      const page = await client.send(new library.ListObjectsV2Command(input), { abortSignal })
      return (page.Contents ?? []).map(({ Key }) => Key!)
    },

    close: () => client.destroy(),
  }
}

const quiet = () => {}
/** What it has to say we hear as errors; its warnings would go to the console. */
const SILENT = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet }

/** A body that stops coming does not end its reader by itself. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

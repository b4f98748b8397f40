import type { BlobStore } from '../src/blobs/blob-store.ts'
import type { BlobContractOptions } from '../src/blobs/contract/contract.ts'
import { s3Blobs } from '../src/blobs/s3/s3.ts'

export const BUCKET = 'forebay-blobs'
export const REGION = 'eu-central-1'
/** moto takes any, unless told otherwise. */
export const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' }

/** The contract's child processes reach the bucket by this. */
export function connect(endpoint: string, place: string, options: BlobContractOptions): BlobStore {
  return s3Blobs({
    bucket: BUCKET,
    prefix: `${place}/`,
    region: REGION,
    endpoint,
    credentials: CREDENTIALS,
    keepMs: options.keepMs,
    // A clock that stands still has no time limits.
    clock: options.clock,
  })
}

import type { BlobStore } from './blob-store.ts'

/** Where bodies and answers go that are too large for a record, and from where on they are. */
export interface LargeBodies {
  readonly blobs: BlobStore
  /** Larger ones go out of the record. bytes */
  readonly aboveBytes: number
}

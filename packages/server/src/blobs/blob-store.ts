import type { BlobRef } from '../task.ts'

/**
 * The port to bytes too large for a record (the claim check): bodies and answers go here first, then a record names
 * them. Content is its own name, so the same bytes have the same reference whoever puts them, and a reference can be
 * checked against what it brings back.
 *
 * What is put can be got for `keepMs` (an option of the adapter) from then on, or for longer where the put says so; a
 * later put of the same bytes never shortens that. A pin keeps them for as long as it stands, whatever their age.
 */
export interface BlobStore {
  readonly capabilities: BlobCapabilities
  /**
   * Called once, before anything else. Throws CONFIG_INVALID where the place says no (no such bucket, wrong
   * credentials, a folder that cannot be written). BLOB_UNAVAILABLE where it says nothing: the store is open all the
   * same, and each call tries anew.
   */
  open(): Promise<void>
  /**
   * Resolves when the bytes are durable. They stay for `atLeastMs` if that is longer than `keepMs`.
   * Throws BLOB_UNAVAILABLE: they may or may not be there, and harm nobody.
   */
  put(bytes: Uint8Array, atLeastMs?: number): Promise<BlobRef>
  /**
   * The very bytes: their digest has been checked. Throws BLOB_MISSING when they are not there or damaged everywhere,
   * BLOB_UNAVAILABLE when that cannot be told now.
   */
  get(ref: BlobRef): Promise<Uint8Array>
  /**
   * Keeps the bytes until `unpin` with the same name; again under the same name does nothing. Any text will do as a
   * name. Throws BLOB_MISSING, BLOB_UNAVAILABLE.
   */
  pin(ref: BlobRef, name: string): Promise<void>
  /** Does nothing where no such pin stands. Throws BLOB_UNAVAILABLE. */
  unpin(ref: BlobRef, name: string): Promise<void>
  /** Removes what has had its time and what a crash left half-written. Any number of processes may sweep at once. */
  sweep(): Promise<SweptBlobs>
  /** Waits for what was asked. Idempotent. */
  close(): Promise<void>
}

export interface BlobCapabilities {
  readonly name: 'folder' | 's3'
  /** What an acknowledged put survives, as a sentence for docs and `doctor`. */
  readonly durability: string
}

export interface SweptBlobs {
  readonly removed: number
}

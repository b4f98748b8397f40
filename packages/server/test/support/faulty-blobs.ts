import { ForebayError } from '@forebay/protocol'
import type { BlobStore } from '../../src/blobs/blob-store.ts'

/** Real blobs whose place a test can take away and give back. */
export interface FaultyBlobs extends BlobStore {
  down: boolean
  /** How long each put was asked to stay. ms */
  readonly askedMs: number[]
  /** Calls that met the fault. */
  refused: number
}

export function faultyBlobs(blobs: BlobStore): FaultyBlobs {
  const faulty: FaultyBlobs = {
    down: false,
    askedMs: [],
    refused: 0,
    capabilities: blobs.capabilities,
    open: () => blobs.open(),
    put(bytes, atLeastMs) {
      faulty.askedMs.push(atLeastMs ?? 0)
      return pass(() => blobs.put(bytes, atLeastMs))
    },
    get: (ref) => pass(() => blobs.get(ref)),
    pin: (ref, name) => pass(() => blobs.pin(ref, name)),
    unpin: (ref, name) => pass(() => blobs.unpin(ref, name)),
    sweep: () => blobs.sweep(),
    close: () => blobs.close(),
  }
  return faulty

  async function pass<Value>(call: () => Promise<Value>): Promise<Value> {
    if (!faulty.down) return call()
    faulty.refused++
    throw new ForebayError('BLOB_UNAVAILABLE', 'The test took them away.')
  }
}

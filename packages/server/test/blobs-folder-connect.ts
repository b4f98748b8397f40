import { join } from 'node:path'
import type { BlobStore } from '../src/blobs/blob-store.ts'
import type { BlobContractOptions } from '../src/blobs/contract/contract.ts'
import { folderBlobs } from '../src/blobs/folder/folder.ts'

/** The contract's child processes reach the folder by this. */
export function connect(folder: string, place: string, options: BlobContractOptions): BlobStore {
  return folderBlobs({ ...options, dir: join(folder, place) })
}

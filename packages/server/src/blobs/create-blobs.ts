import type { Clock, Random } from '@forebay/broker'
import type { ServerOptions } from '../options.ts'
import type { BlobStore } from './blob-store.ts'
import { folderBlobs } from './folder/folder.ts'
import { answerKeptMs } from './keep-times.ts'
import { s3Blobs } from './s3/s3.ts'

/** The place that the options name; null where they name none. Opens nothing, and loads no client library, yet. */
export function createBlobs(
  { blobs, retentionMs }: Pick<ServerOptions, 'blobs' | 'retentionMs'>,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): BlobStore | null {
  const { place } = blobs
  if (place === null) return null
  const keepMs = answerKeptMs(retentionMs)
  return place.kind === 'folder'
    ? folderBlobs({ dir: place.dir, keepMs, clock, random })
    : s3Blobs({ ...place, keepMs, clock })
}

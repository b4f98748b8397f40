import { type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'

export interface FolderBlobsOptions {
  /** Made when it is missing. All processes that share a log share it, by a network file system where they must. */
  readonly dir: string
  /** How long a blob can be got after it was put last. ms */
  readonly keepMs: number
  readonly clock?: Clock
  readonly random?: Random
}

export type ResolvedFolderBlobs = Required<FolderBlobsOptions>

export function resolveFolderBlobs(given: FolderBlobsOptions): ResolvedFolderBlobs {
  return { clock: systemClock, random: systemRandom, ...given }
}

import type { SavedGeneration } from './positions.ts'

/** What a tail reads: a file as it was written, or as it was packed later. */
export interface Followed {
  readonly inode: string
  readonly epoch: string
  /** Everything before it is in the log. */
  shippedOffset: number
  /** Everything before it has been read. */
  readOffset: number
  /** Size when it was last looked at and had nothing whole to read. */
  idleSize: number
  /** When it last gave something to read, monotonic. */
  activeMs: number
  /** Only of one that was packed: what comes next cannot be unpacked. */
  readonly isDamaged: boolean
  size(): Promise<number>
  /** Null when it is no longer the file we knew: cut, and perhaps written anew, or damaged. */
  read(bytesMax: number): Promise<Buffer | null>
  /** Whether what comes next stands within a line. */
  isWithinLine(): Promise<boolean>
  /** To be called once something was read, so that the file is known again. */
  learnHead(): Promise<void>
  saved(done?: boolean): SavedGeneration
  close(): Promise<void>
}

/**
 * What a relay needs of a table of events, whatever database that is in. A row is pending from the commit of its
 * transaction on, until it is settled or refused.
 */
export interface OutboxRows {
  /** For people: which table this is. */
  readonly name: string
  /** Takes the lease or holds it longer; false: another relay has it. It is one row, and time is the database's. */
  hold(owner: string, leaseMs: number): Promise<boolean>
  /** Lets another relay begin at once. */
  release(owner: string): Promise<void>
  /**
   * Pending rows by their sequence, the lowest first, so many and of so many bytes of data at most, but for a single larger
   * one. See the comment of each adapter why this keeps the order of a key.
   */
  pending(rowsMax: number, bytesMax: number): Promise<readonly OutboxRow[]>
  /** They are in the log. Kept ones stay until `prune`. */
  settle(sequences: readonly string[], keep: boolean): Promise<void>
  /** It can never be published as it is; it stays for an operator, and is no longer pending. */
  refuse(sequence: string, reason: string): Promise<void>
  /** Removes rows that were settled longer ago, so many at most; says how many. */
  prune(retentionMs: number, rowsMax: number): Promise<number>
  lag(rowsMax: number): Promise<OutboxLag>
  /** Calls `wake` when something has been committed, as long as it can; `lost` once when it cannot any more. */
  readonly listen: ((wake: () => void, lost: () => void) => Promise<{ close(): Promise<void> }>) | null
  /** Whether writers should notify; only a relay that listens asks for it. */
  askForNotices(wanted: boolean): Promise<void>
  close(): Promise<void>
}

export interface OutboxRow {
  /** A number of 64 bits as text; grows. */
  readonly sequence: string
  readonly topic: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly version: number
  readonly key: string | null
  readonly timeMs: number
  /** Further attributes of CloudEvents by their own names, as a JSON object of texts. */
  readonly attributes: string
  readonly contentType: string
  readonly data: Uint8Array
}

export interface OutboxLag {
  /** Pending ones, counted up to a limit. */
  readonly rows: number
  /** Age of the oldest pending row; 0 where there is none. ms */
  readonly oldestMs: number
  /** Rows that could not be published and wait for an operator, counted up to the same limit. */
  readonly refused: number
}

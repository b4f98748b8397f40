import type { DroppedReason } from './row.ts'

export type EdgeRoad = 'file' | 'syslog' | 'http' | 'otlp'

/** Counts of a collector; whoever starts it turns them into metrics. */
export interface EdgeMeters {
  /** Rows that are safe: in the log for files, in the spool for what was sent; and how many of them could not be read. */
  kept(road: EdgeRoad, lines: number, undecodable: number): void
  /** `lines` null: nobody knows how many. Each is told in a row too. */
  dropped(reason: DroppedReason, lines: number | null): void
  /** Batches over HTTP that were refused as the spool is full. */
  refused(): void
  produced(outcome: 'durable' | 'spooled' | 'refused'): void
}

import type { Broker, Clock } from '@forebay/broker'
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Choice, type Chosen, chosenLetters } from './choose.ts'
import { originalRecord } from './letter.ts'
import { unpinBody } from './letter-blobs.ts'
import type { ScanParts } from './scan.ts'
import { verdictRecord } from './verdict.ts'

export interface DiscardRequest {
  readonly choice: Choice
  /** Principal. */
  readonly by: string
  readonly reason: string
}

export interface DiscardProgress {
  readonly discarded: number
}

/** Closes letters for good: they stay in the log, with a verdict behind them. Yields after each group. */
export async function* discard(
  parts: ScanParts & { readonly broker: Broker; readonly clock: Clock; readonly blobs?: BlobStore | null },
  { choice, by, reason }: DiscardRequest,
  signal: AbortSignal,
): AsyncGenerator<DiscardProgress, undefined> {
  let discarded = 0
  let group: Chosen[] = []
  for await (const chosen of chosenLetters(parts, choice, signal)) {
    group.push(chosen)
    if (group.length < GROUP_MAX) continue
    await write()
    yield { discarded }
  }
  if (group.length > 0) await write()
  yield { discarded }

  async function write(): Promise<void> {
    const atMs = parts.clock.wallMs()
    const verdict = { kind: 'discarded', by, atMs, reason, edited: false } as const
    await parts.broker.publish(group.map(({ letter }) => verdictRecord({ ...verdict, letter })))
    await Promise.all(group.map(({ letter }) => unpinBody(parts.blobs ?? null, originalRecord(letter))))
    discarded += group.length
    group = []
  }
}

const GROUP_MAX = 200

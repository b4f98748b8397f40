import type { LogRecord } from '@forebay/broker'
import { textOf } from '../body-text.ts'
import { isoTime } from '../iso-time.ts'
import type { LetterFound, LetterHistogram, LetterSummary } from './dead-letters.ts'
import type { DryRun } from './dry-run.ts'
import { historyOf, originalRecord } from './letter.ts'
import { formatPlace } from './letter-place.ts'
import type { Verdict } from './verdict.ts'

/** Dead letters as operators see them, in JSON. */

export function summaryView(letter: LetterSummary) {
  const { queue, partition, offset, state, taskId, key, code, detail, attempts, generation, worker, atMs } = letter
  return {
    letter: formatPlace({ queue, partition, offset }),
    queue,
    state,
    task: taskId,
    key,
    code,
    detail,
    attempts,
    generation,
    worker,
    diedAt: isoTime(atMs),
    origin: `${letter.origin.topic}:${letter.origin.partition}:${letter.origin.offset}`,
    bytes: letter.bytes,
    tombstone: letter.tombstone,
    cuts: letter.cuts,
  }
}

/** Whole: original headers and body, history and verdicts. Bytes that are no UTF-8 are in base64. */
export function letterView({ letter, state, verdicts }: LetterFound): object {
  const original = originalRecord(letter)
  return {
    ...summaryView({ ...letter, state }),
    detail: letter.detail,
    recordedAt: isoTime(original.timestampMs),
    keyBase64: original.key === null || textOf(original.key) !== null ? undefined : base64(original.key),
    headers: original.headers.map(([name, value]) => ({ name, ...bytesView('value', value) })),
    contentType: contentTypeOf(original),
    ...bytesView('body', original.value ?? EMPTY),
    history: historyOf(letter).map(({ beganAtMs, endedAtMs, ...attempt }) => ({
      ...attempt,
      beganAt: timeOrNull(beganAtMs),
      endedAt: timeOrNull(endedAtMs),
    })),
    verdicts: verdicts.map((verdict) => verdictView(verdict, letter.queue)),
  }
}

export function verdictView(verdict: Verdict, queue: string) {
  const { kind, partition, letterOffset, taskId, generation, by, atMs, reason, edited } = verdict
  return {
    letter: formatPlace({ queue, partition, offset: letterOffset }),
    verdict: kind,
    task: taskId,
    generation,
    by,
    at: isoTime(atMs),
    reason,
    edited,
  }
}

export function histogramView({ hours, total, earlier }: LetterHistogram): object {
  const sorted = [...hours].sort(([a], [b]) => a - b)
  return {
    hours: sorted.map(([atMs, codes]) => ({ from: isoTime(atMs), codes: Object.fromEntries(codes) })),
    total,
    earlier,
  }
}

export function dryRunView({ count, refused, histogram, oldestAtMs, newestAtMs }: DryRun): object {
  return {
    dryRun: true,
    count,
    refused,
    histogram: Object.fromEntries([...histogram].map(([queue, codes]) => [queue, Object.fromEntries(codes)])),
    oldestAt: timeOrNull(oldestAtMs),
    newestAt: timeOrNull(newestAtMs),
  }
}

function contentTypeOf({ headers }: LogRecord): string | null {
  const header = headers.findLast(([name]) => name === 'content-type')
  return header === undefined ? null : textOf(header[1])
}

function bytesView(name: string, bytes: Uint8Array): object {
  const text = textOf(bytes)
  return text === null ? { [`${name}Base64`]: base64(bytes) } : { [name]: text }
}

/** What is read from a record may be any number, or none. */
function timeOrNull(ms: unknown): string | null {
  return typeof ms === 'number' && Math.abs(ms) <= TIME_MS_MAX ? isoTime(ms) : null
}
const TIME_MS_MAX = 8.64e15

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

const EMPTY = Buffer.alloc(0)

import type { RecordHeader, RecordToPublish } from '@forebay/broker'
import type { QueueOptions } from '../options.ts'
import { decodeTask, noteRecord, taskRecordAgain } from '../records.ts'
import { type Letter, originalRecord } from './letter.ts'

/** Lives of a task that redrives may open before somebody has to say that one more is meant. */
export const REDRIVES_MAX = 3

export interface EditedLetter {
  readonly payload: Uint8Array
  readonly contentType: string
}

export interface RedriveRecords {
  /** The task once more, in the partition where it was found. */
  readonly task: RecordToPublish
  /** Tells readers of the task that a new generation is open. */
  readonly note: RecordToPublish
}

export interface RedriveContext {
  readonly queue: QueueOptions
  readonly lanes: number
  readonly nowMs: number
}

/**
 * The next generation of a task that died: same id, key, headers and time of acceptance; all attempts again, and the
 * queue's whole deadline from now on.
 */
export function redriveRecords(letter: Letter, edit: EditedLetter | null, context: RedriveContext): RedriveRecords {
  const { queue, lanes, nowMs } = context
  const original = originalRecord(letter)
  const task = decodeTask(original, { queue: queue.name, budgetMs: queue.deadlineMs, lanes })
  const generation = letter.generation + 1
  const budgetMs = Math.max(0, nowMs - task.acceptedAtMs) + queue.deadlineMs
  const record =
    edit === null ? original : { ...original, value: edit.payload, headers: withBody(original.headers, edit) }
  const { id: taskId, owner } = task
  return {
    task: taskRecordAgain(record, { attemptsBefore: 0, generation, budgetMs }),
    note: noteRecord(
      { taskId, queue: queue.name, owner, state: 'pending', attempts: 0, generation, atMs: nowMs, fault: null },
      task.lane,
    ),
  }
}

export type Refusal = 'generations' | 'tombstone' | 'cut' | 'blob' | 'unfinished'

export const REFUSALS: Readonly<Record<Refusal, string>> = {
  generations: `It was redriven ${REDRIVES_MAX} times already and died each time; "force" redrives it once more.`,
  tombstone: 'Its record has no value: there is nothing to run. Redrive it with another body, or discard it.',
  cut: 'It did not fit into the log with its dead letter and was cut: hand it in again from where it came from.',
  unfinished: 'That it died is not stored yet, or the store does not answer; ask again.',
  blob: 'Its body lay outside the log and is not there any more: redrive it with another body, or discard it.',
}

/** Why a letter cannot be redriven; null when it can. */
export function refusalOf(letter: Letter, edited: boolean, force: boolean): Refusal | null {
  const missing = edited ? letter.cuts.filter((cut) => !cut.startsWith('value ')) : letter.cuts
  if (missing.length > 0) return 'cut'
  if (letter.tombstone && !edited) return 'tombstone'
  return letter.generation >= REDRIVES_MAX && !force ? 'generations' : null
}

/** What is too large for a record lies elsewhere; an edited body is in the record itself. */
function withBody(headers: readonly RecordHeader[], { contentType }: EditedLetter): RecordHeader[] {
  const kept = headers.filter(([name]) => name !== 'content-type' && name !== 'fb-blob')
  return [...kept, ['content-type', Buffer.from(contentType)]]
}

import { isErrorCode } from '@forebay/protocol'
import { isEndState, type OpenState } from '../../task.ts'
import { type FoldedEntries, isResult } from '../fold-entries.ts'
import type { StoredTask } from '../store.ts'
import type { Argument, Reply } from './connection.ts'

/** Task id and fields of each entry, one after the other. An empty text stands for what is not there. */
export function taskArguments({ rows }: FoldedEntries): readonly Argument[] {
  const values: Argument[] = []
  for (const { fact } of rows) {
    const end = isResult(fact) ? fact.end : null
    const succeeded = end?.state === 'succeeded' ? end : null
    const fault = isResult(fact) ? ('fault' in fact.end ? fact.end.fault : null) : fact.fault
    values.push(
      fact.taskId,
      end === null ? '0' : '1',
      String(fact.generation),
      String(isResult(fact) ? fact.finishedAtMs : fact.atMs),
      isResult(fact) ? fact.end.state : fact.state,
      String(fact.attempts),
      fact.queue,
      fact.owner,
      succeeded?.contentType ?? '',
      fault?.code ?? '',
      fault?.detail ?? '',
      succeeded?.blob?.sha256 ?? '',
      succeeded?.blob === undefined ? '' : String(succeeded.blob.bytes),
      succeeded === null ? '' : bytes(succeeded.payload),
    )
  }
  return values
}

/** Null where nothing is known of the task. */
export function storedTask(taskId: string, reply: Reply): StoredTask | null {
  const fields = reply as readonly (Buffer | null)[]
  if (fields[0] === null) return null
  const texts = fields.slice(0, -1).map((field) => field?.toString() ?? '')
  const [, generation, at, state, attempts, queue, owner, contentType, code, detail, sha256, blobBytes] =
    texts as unknown as Texts
  const facts = { taskId, queue, owner, attempts: Number(attempts), generation: Number(generation) }
  const fault = code === '' ? null : { code: isErrorCode(code) ? code : 'INTERNAL', detail }
  if (!isEndState(state)) return { ...facts, status: { state: state as OpenState, atMs: Number(at), fault } }
  const finishedAtMs = Number(at)
  if (state !== 'succeeded') return { ...facts, status: { state, finishedAtMs, fault: fault! } }
  const answer = { state, finishedAtMs, payload: fields.at(-1)!, contentType } as const
  return { ...facts, status: sha256 === '' ? answer : { ...answer, blob: { sha256, bytes: Number(blobBytes) } } }
}

/** In the order of TASK_FIELDS, but for the payload. */
type Texts = readonly [
  ...[ended: string, generation: string, at: string, state: string, attempts: string, queue: string, owner: string],
  ...[contentType: string, code: string, detail: string, sha256: string, blobBytes: string],
]

export function bytes(payload: Uint8Array): Buffer {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
}

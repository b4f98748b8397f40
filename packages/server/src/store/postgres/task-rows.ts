import { type ErrorCode, isErrorCode } from '@forebay/protocol'
import { isEndState, type OpenState } from '../../task.ts'
import { type FoldedEntries, isResult } from '../fold-entries.ts'
import type { StoredTask } from '../store.ts'
import { count, PackedBytes, text, textOrNull } from './columns.ts'

/** As `apply_batch` wants them, from `given_rounds` on. */
export function taskColumns({ rows, rounds }: FoldedEntries): readonly unknown[] {
  const payloads = new PackedBytes()
  const facts = rows.map((row) => row.fact)
  const ends = facts.map((fact) => (isResult(fact) ? fact.end : null))
  const faults = facts.map((fact) => (isResult(fact) ? ('fault' in fact.end ? fact.end.fault : null) : fact.fault))
  const succeeded = ends.map((end) => (end?.state === 'succeeded' ? end : null))
  return [
    rounds,
    rows.map((row) => row.round),
    facts.map((fact) => text(fact.taskId)),
    facts.map((fact) => Math.trunc(isResult(fact) ? fact.finishedAtMs : fact.atMs)),
    facts.map((fact) => count(fact.attempts)),
    facts.map((fact) => count(fact.generation)),
    ends.map((end) => end !== null),
    facts.map((fact) => (isResult(fact) ? fact.end.state : fact.state)),
    facts.map((fact) => text(fact.queue)),
    facts.map((fact) => text(fact.owner)),
    succeeded.map((end) => (end === null ? null : text(end.contentType))),
    faults.map((fault) => fault?.code ?? null),
    faults.map((fault) => textOrNull(fault?.detail ?? null)),
    succeeded.map((end) => end?.blob?.sha256 ?? null),
    succeeded.map((end) => end?.blob?.bytes ?? null),
    succeeded.map((end) => (end === null ? null : payloads.add(end.payload))),
    succeeded.map((end) => end?.payload.length ?? null),
    payloads.finish(),
  ]
}

/** A row of `tasks`. */
export interface TaskColumns {
  readonly task_id: string
  readonly at_ms: number
  readonly attempts: number
  readonly generation: number
  readonly state: string
  readonly queue: string
  readonly owner: string
  readonly content_type: string | null
  readonly fault_code: string | null
  readonly fault_detail: string | null
  readonly blob_sha256: string | null
  readonly blob_bytes: number | null
  readonly payload: Buffer | null
}

export function storedTask(row: TaskColumns): StoredTask {
  const { task_id: taskId, queue, owner, attempts, generation, state, at_ms: atMs } = row
  const facts = { taskId, queue, owner, attempts, generation }
  const fault = row.fault_code === null ? null : { code: errorCode(row.fault_code), detail: row.fault_detail ?? '' }
  if (!isEndState(state)) return { ...facts, status: { state: state as OpenState, atMs, fault } }
  if (state !== 'succeeded') return { ...facts, status: { state, finishedAtMs: atMs, fault: fault! } }
  const { payload, content_type: contentType, blob_sha256: sha256, blob_bytes: bytes } = row
  const answer = { state, finishedAtMs: atMs, payload: payload!, contentType: contentType! } as const
  return { ...facts, status: sha256 === null ? answer : { ...answer, blob: { sha256, bytes: bytes! } } }
}

/** Another version may know more of them. */
export function errorCode(code: string): ErrorCode {
  return isErrorCode(code) ? code : 'INTERNAL'
}

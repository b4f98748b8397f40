import type { StoredTask } from '../store/store.ts'
import type { Note, Result } from '../task.ts'
import type { TaskView } from './replies.ts'

/** A result heard on the lane, as a reader of the store would see it. */
export function viewOf(result: Result): TaskView {
  const { taskId, queue, owner, attempts, generation, finishedAtMs, end } = result
  const common = { taskId, queue, owner, attempts, generation, finishedAtMs, state: end.state }
  if (end.state !== 'succeeded') return { ...common, fault: end.fault, payload: null, contentType: null }
  const { payload, contentType, blob } = end
  return { ...common, fault: null, payload, contentType, ...(blob === undefined ? {} : { blob }) }
}

export function viewOfNote({ taskId, queue, owner, state, attempts, generation, fault }: Note): TaskView {
  const common = { taskId, queue, owner, state, attempts, generation, fault }
  return { ...common, finishedAtMs: null, payload: null, contentType: null }
}

export function viewOfStored({ taskId, queue, owner, attempts, generation, status }: StoredTask): TaskView {
  const { state } = status
  const common = { taskId, queue, owner, attempts, generation, state }
  if (status.state === 'succeeded') {
    const { finishedAtMs, payload, contentType, blob } = status
    return { ...common, finishedAtMs, fault: null, payload, contentType, ...(blob === undefined ? {} : { blob }) }
  }
  const finishedAtMs = 'finishedAtMs' in status ? status.finishedAtMs : null
  return { ...common, finishedAtMs, fault: status.fault, payload: null, contentType: null }
}

import { type ErrorCode, ForebayError, isErrorCode } from '@forebay/protocol'
import type { TaskView } from '../reply/replies.ts'

/** Why the task did not succeed, or why its last attempt did not, as an error of the table. */
export function faultOf(view: TaskView): ForebayError {
  const code: ErrorCode = view.fault !== null && isErrorCode(view.fault.code) ? view.fault.code : 'INTERNAL'
  const detail = view.fault?.detail ?? FAULT_UNKNOWN
  return new ForebayError(code, detail, {
    members: { task: view.taskId, state: view.state, attempts: view.attempts },
  })
}

const FAULT_UNKNOWN = 'The task did not succeed; why was not recorded.'

import { followSteps, nameOf, pointerSteps } from '../json-pointer.ts'
import { isJson } from '../media-type.ts'
import type { FairnessOptions } from '../options.ts'
import type { Task } from '../task.ts'

/**
 * The flow that a task belongs to: among flows capacity is shared. '' for all that name none: no key, no such header,
 * a body that is not JSON, is larger than `FLOW_BODY_BYTES_MAX` or lies outside the record. Of long names the first
 * `FLOW_NAME_CHARS_MAX` characters count.
 */
export function flowOf(fairness: FairnessOptions | null, task: Task): string {
  if (fairness === null) return ''
  const name = nameIn(task, fairness.by)
  return name.length > FLOW_NAME_CHARS_MAX ? name.slice(0, FLOW_NAME_CHARS_MAX) : name
}

export const FLOW_BODY_BYTES_MAX = 64 * 1024
export const FLOW_NAME_CHARS_MAX = 256

function nameIn(task: Task, by: FairnessOptions['by']): string {
  switch (by.from) {
    case 'owner':
      return task.owner
    case 'key':
      return task.key ?? ''
    case 'header':
      return task.headers.find(([name]) => name === by.header)?.[1] ?? ''
    case 'body':
      return nameInBody(task, by.pointer)
  }
}

function nameInBody(task: Task, pointer: string): string {
  const { payload, contentType } = task
  if (payload.length === 0 || payload.length > FLOW_BODY_BYTES_MAX || !isJson(contentType)) return ''
  try {
    const body: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString())
    return nameOf(followSteps(body, pointerSteps(pointer))) ?? ''
  } catch {
    return ''
  }
}

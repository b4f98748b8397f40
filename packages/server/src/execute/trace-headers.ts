import type { Task } from '../task.ts'

/** The trace context that a task carries, for the target's headers; what is not printable ASCII is left out. */
export function traceHeaders(task: Task): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of task.headers) {
    if ((name === 'traceparent' || name === 'tracestate') && isPrintable(value)) headers[name] = value
  }
  return headers
}

/** Fit for a header of HTTP and for metadata of gRPC. */
export function isPrintable(value: string): boolean {
  return PRINTABLE.test(value)
}

const PRINTABLE = /^[\x20-\x7e]{1,1024}$/

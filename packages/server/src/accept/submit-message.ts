import { ForebayError } from '@forebay/protocol'
import type { TaskHeader } from '../task.ts'
import { type Admission, TASK_OVERHEAD_BYTES } from './admission.ts'
import { withFlowHeader } from './flow-header.ts'
import type { Kept, Submission, Submit } from './submit.ts'

/** A request that came as one message, its body with it: by gRPC or WebSocket. */
export interface MessageSubmission extends Omit<Submission, 'method' | 'key' | 'headers'> {
  /** As the caller named it. */
  readonly key: string | null
  readonly trace: readonly TaskHeader[]
  /** Of the request that carried the message. */
  header(name: string): string | undefined
}

/** Keeps its task within admission. Throws TASK_TOO_LARGE, and as `AcceptingQueue.check`, `Admission.enter`, `Submit` do. */
export async function submitMessage(
  { admission, submit }: { readonly admission: Admission; readonly submit: Submit },
  { key, trace, header, ...message }: MessageSubmission,
): Promise<Kept> {
  const { queue, payload } = message
  const { bodyBytesMax, fairness } = queue.options
  if (payload.length > bodyBytesMax) {
    const detail = `The body is larger than the ${bodyBytesMax} bytes that this queue takes.`
    throw new ForebayError('TASK_TOO_LARGE', detail, { members: { limit: bodyBytesMax } })
  }
  const held = TASK_OVERHEAD_BYTES + payload.length
  admission.enter(held)
  try {
    return await submit({
      ...message,
      method: 'POST',
      key: queue.check(payload, { given: key, parameters: {}, header }),
      headers: withFlowHeader(trace, fairness, header),
    })
  } finally {
    admission.leave(held)
  }
}

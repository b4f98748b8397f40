import { readFileSync } from 'node:fs'
import { taskBody } from '../accept/http-answers.ts'
import type { TaskRead } from '../accept/read-task.ts'
import { bodyData, RESULT_BESIDE_TASK_BYTES_MAX } from '../body-text.ts'
import { isoTime } from '../iso-time.ts'
import { OCTET_STREAM } from '../records.ts'
import type { TaskView } from '../reply/replies.ts'
import { signWebhook } from './signature.ts'

/**
 * What a receiver is sent of a task that has ended: the task as GET /v1/tasks/{id} shows it, and its result. The same
 * bytes at each try.
 */
export function webhookMessage(read: TaskRead & { readonly view: TaskView }): Buffer {
  const { view } = read
  return Buffer.from(
    JSON.stringify({
      type: `task.${view.state}`,
      timestamp: isoTime(view.finishedAtMs!),
      data: { ...taskBody(read), ...(view.state === 'succeeded' ? { result: resultOf(view) } : {}) },
    }),
  )
}

export interface Signing {
  readonly id: string
  readonly secrets: readonly string[]
  readonly wallMs: number
}

export function webhookHeaders({ id, secrets, wallMs }: Signing, body: Uint8Array): Readonly<Record<string, string>> {
  const timestampS = Math.floor(wallMs / 1_000)
  return {
    'content-type': 'application/json',
    'user-agent': USER_AGENT,
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signWebhook(secrets, id, timestampS, body),
  }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}
const USER_AGENT = `forebay/${version}`

/** As text where it is UTF-8, else in base64; a larger one only by its size and where it is. */
function resultOf({ payload, contentType, blob, taskId }: TaskView): object {
  const about = { contentType: contentType ?? OCTET_STREAM }
  const bytes = payload ?? new Uint8Array()
  if (blob !== undefined || bytes.length > RESULT_BESIDE_TASK_BYTES_MAX) {
    return { ...about, bytes: blob?.bytes ?? bytes.length, link: `/v1/tasks/${taskId}/result` }
  }
  return { ...about, ...bodyData(bytes) }
}

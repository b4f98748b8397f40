import { BYTES_TYPE, decodeText } from '../body.ts'
import { isBadEnd, RequestError, TaskFailedError } from './errors.ts'
import type { Answer } from './exchange.ts'

/** What the worker answered, as it is. */
export class TaskResult<Output = unknown> {
  readonly id: string
  readonly contentType: string
  readonly #bytes: Uint8Array

  constructor(id: string, { headers, bytes }: Answer) {
    this.id = id
    this.contentType = headers.get('content-type') ?? BYTES_TYPE
    this.#bytes = bytes
  }

  bytes(): Uint8Array {
    return this.#bytes
  }

  /** As UTF-8. */
  text(): string {
    return decodeText(this.#bytes)
  }

  /** Throws a SyntaxError when the result is not JSON. */
  json(): Output {
    return JSON.parse(this.text()) as Output
  }
}

/** A refusal that is no refusal: the gateway tells how the task ended. */
export function taskFailure(thrown: unknown, id?: string): TaskFailedError | null {
  if (!(thrown instanceof RequestError)) return null
  const { problem, task } = thrown
  const taskId = id ?? task
  return taskId !== null && isBadEnd(problem.state) ? new TaskFailedError(taskId, problem.state, problem) : null
}

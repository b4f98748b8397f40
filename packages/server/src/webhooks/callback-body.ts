import { isoTime } from '../iso-time.ts'
import type { CallbackView } from '../store/callbacks.ts'

/** A callback as its owner sees it, in JSON. */
export function callbackBody(view: CallbackView): object {
  return {
    id: view.id,
    task: view.taskId,
    queue: view.queue,
    url: view.url,
    state: view.state,
    tries: view.tries,
    nextAt: view.nextAtMs === null ? null : isoTime(view.nextAtMs),
    changedAt: isoTime(view.changedAtMs),
    taskState: view.taskState,
    attempts: view.attempts.map(({ atMs, durationMs, status, detail }) => ({
      at: isoTime(atMs),
      durationMs,
      status,
      detail,
    })),
  }
}

import type { TaskView } from '../reply/replies.ts'
import type { Pending } from './open-waits.ts'
import type { PrincipalSlots } from './principal-slots.ts'
import type { ReadTask } from './read-task.ts'
import type { Submit } from './submit.ts'

/**
 * Bounds how many callers of one principal wait at once (`http.waitersPerPrincipalMax`), over all doors. Beyond it
 * nobody is refused: the answer is what it would be without waiting.
 */
export function boundedSubmit(submit: Submit, slots: PrincipalSlots): Submit {
  return async (submission) => {
    if (submission.waitMs === 0) return submit(submission)
    const { owner } = submission
    if (!slots.take(owner)) return submit({ ...submission, waitMs: 0 })
    let waits = false
    try {
      const kept = await submit(submission)
      if (kept.wait === null) return kept
      waits = true
      return { ...kept, wait: freeing(kept.wait, slots, owner) }
    } finally {
      if (!waits) slots.free(owner)
    }
  }
}

export function boundedReadTask(readTask: ReadTask, slots: PrincipalSlots): ReadTask {
  return async (text, owner, waitMs, signal) => {
    if (waitMs === 0 || !slots.take(owner)) return readTask(text, owner, 0)
    try {
      return await readTask(text, owner, waitMs, signal)
    } finally {
      slots.free(owner)
    }
  }
}

function freeing(wait: Pending<TaskView | null>, slots: PrincipalSlots, owner: string): Pending<TaskView | null> {
  return {
    result: () => wait.result().finally(() => slots.free(owner)),
    cancel: () => wait.cancel(),
  }
}

import { type Broker, type Clock, PublishError } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { cancellationRecord } from '../control.ts'
import type { Replies, TaskView } from '../reply/replies.ts'
import type { Result } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import type { ReadTask, TaskRead } from './read-task.ts'
import type { TaskIdParts } from './task-id.ts'
import type { TaskOwner } from './task-owner.ts'

/**
 * Ends a task as cancelled, for every door, and answers with how it stands then. A cancellation is a result like any
 * other: it goes to the task's lane, and the first result there is the task's (P2). So this says what won: the task,
 * cancelled, or TASK_ENDED. A task that was cancelled before is answered the same again. An operator who cancels a task
 * of somebody else leaves an audit line.
 *
 * Throws what `ReadTask` throws, NOT_ACCEPTED when it certainly was not cancelled, OUTCOME_UNKNOWN and STORE_BEHIND
 * when it may have been: asking again tells.
 */
export type CancelTask = (text: string, principal: string) => Promise<TaskRead>

export interface CancelTaskParts {
  readonly broker: Broker
  /** Puts a result into the log, and its copy where its queue has a topic for those. */
  readonly publishResult: (result: Result, lane: number) => Promise<void>
  readonly replies: Replies
  readonly readTask: ReadTask
  readonly ownerOf: TaskOwner
  readonly clock: Clock
  readonly telemetry: Telemetry
}

export function createCancelTask({
  broker,
  publishResult,
  replies,
  readTask,
  ownerOf,
  clock,
  telemetry,
}: CancelTaskParts): CancelTask {
  return async (text, principal) => {
    const owner = ownerOf(text, principal)
    const { id, view } = await readTask(text, owner, 0)
    let known = view
    // More than once only where an operator's redrive gives the task a new life in between.
    for (let asked = 0; asked < LIVES_MAX && !hasEnded(known); asked++) {
      const result = cancelledResult(id, owner, known)
      await publish(result, id.lane)
      callOff(result)
      known = await replies.read(id, STORED_WITHIN_MS)
    }
    if (!hasEnded(known)) throw notStored(id)
    if (owner !== principal) {
      const about = { principal, action: 'task.cancel', queue: known.queue, task: id.id, owner, state: known.state }
      telemetry.log.info({ audit: true, ...about }, 'an operator acted')
    }
    if (known.state === 'cancelled') return { id, view: known }
    throw new ForebayError('TASK_ENDED', `The task has ended ${known.state}; it cannot be cancelled any more.`, {
      members: { task: id.id, state: known.state, attempts: known.attempts },
    })
  }

  function cancelledResult(id: TaskIdParts, owner: string, view: TaskView | null): Result {
    return {
      taskId: id.id,
      queue: view?.queue ?? id.queue,
      owner,
      attempts: view?.attempts ?? 0,
      generation: view?.generation ?? 0,
      finishedAtMs: clock.wallMs(),
      end: { state: 'cancelled', fault: { code: 'TASK_CANCELLED', detail: 'It was cancelled before it was done.' } },
    }
  }

  async function publish(result: Result, lane: number): Promise<void> {
    try {
      await publishResult(result, lane)
    } catch (thrown) {
      const members = { task: result.taskId }
      if (thrown instanceof PublishError && thrown.failed.every((one) => one.outcome === 'refused')) {
        const message = 'The log did not take the cancellation; the task goes on. Ask again.'
        throw new ForebayError('NOT_ACCEPTED', message, { members, cause: thrown })
      }
      const message = 'The log did not say whether it took the cancellation; ask again.'
      throw new ForebayError('OUTCOME_UNKNOWN', message, { members, cause: thrown })
    }
  }

  /** Tells the dispatchers. Nobody waits for it: when it is lost, a worker works in vain and that is all. */
  function callOff({ taskId, queue, generation }: Result): void {
    broker.publish([cancellationRecord({ taskId, queue, generation })]).catch((err: unknown) => {
      telemetry.log.warn({ err, task: taskId }, 'telling the dispatchers of a cancellation failed')
    })
  }
}

function hasEnded(view: TaskView | null): view is TaskView {
  return view !== null && view.finishedAtMs !== null
}

function notStored(id: TaskIdParts): ForebayError {
  return new ForebayError('STORE_BEHIND', 'Whether the task was cancelled cannot be said right now; ask again.', {
    members: { task: id.id },
  })
}

/** How long the store may take to hear of the result. ms */
const STORED_WITHIN_MS = 5_000
const LIVES_MAX = 3

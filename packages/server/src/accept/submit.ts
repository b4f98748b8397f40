import { type Broker, type Clock, PublishError } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { bodyKeptMs } from '../blobs/keep-times.ts'
import type { LargeBodies } from '../blobs/large-bodies.ts'
import { taskRecord } from '../records.ts'
import type { Expectation, Replies, TaskView } from '../reply/replies.ts'
import { viewOf } from '../reply/views.ts'
import type { HeldClaim, Settlement, Store } from '../store/store.ts'
import type { Task, TaskHeader } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import type { CallbackUrl } from '../webhooks/callback-url.ts'
import type { AcceptingQueue } from './accepting-queue.ts'
import { TASK_OVERHEAD_BYTES } from './admission.ts'
import { type CallbackRegistration, noCallbacks } from './callback-registration.ts'
import { HeldClaims } from './held-claims.ts'
import { fingerprint } from './idempotency.ts'
import { bySignal, type Pending } from './open-waits.ts'
import type { TaskIdParts, TaskIds } from './task-id.ts'
import { delayAt, type Timing } from './timing.ts'

/** A request that has passed every check. */
export interface Submission {
  readonly queue: AcceptingQueue
  /** As in `Asked`. */
  readonly method: string
  readonly owner: string
  readonly key: string | null
  readonly payload: Uint8Array
  readonly contentType: string
  readonly headers: readonly TaskHeader[]
  readonly timing: Timing
  readonly priority: number
  readonly idempotencyKey: string | null
  /** How long the caller would wait for the end; 0: not at all. */
  readonly waitMs: number
  /** URL to be called when the task has ended, as the caller wrote it: it is checked on the way. Default: none. */
  readonly callback?: string | null
}

export interface Kept {
  readonly taskId: string
  readonly acceptedAtMs: number
  /** An earlier request with the same idempotency key had made this task. */
  readonly replayed: boolean
  /** Until when the idempotency key stands for this task, ms since 1970; null without a key. */
  readonly keyExpiresAtMs: number | null
  /**
   * Resolves with how the task ended, or with null when the wait was over or cancelled first; the task goes on.
   * To be called once, at once. Null when there is nothing to wait for: not asked to, or too many wait already.
   */
  readonly wait: Pending<TaskView | null> | null
}

export type Submit = (submission: Submission) => Promise<Kept>

export interface SubmitParts {
  readonly broker: Broker
  readonly replies: Replies
  readonly store: Store
  /** Default: none, and every body goes into its record. */
  readonly large?: LargeBodies | null
  /** Default: none are taken. */
  readonly callbacks?: CallbackRegistration
  readonly ids: TaskIds
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * The one road from a checked request to a kept task, for every door: name it, claim its idempotency key, put its body
 * outside the log if it is large, write down who is to be called, expect its answer, append it, and only then say so. The body goes first: a record
 * never names what is not there, and a body that no record came to name is swept away when its time is over.
 *
 * Throws NOT_ACCEPTED, BLOB_UNAVAILABLE, CALLBACK_REFUSED or CALLBACK_UNAVAILABLE when nothing was kept, OUTCOME_UNKNOWN (with the task's id) when it may
 * have been (P9).
 */
export function createSubmit(parts: SubmitParts): Submit {
  const { broker, replies, store, ids, clock, telemetry } = parts
  const { large = null, callbacks = noCallbacks } = parts
  const inRecordBytesMax = broker.capabilities.recordBytesMax - TASK_OVERHEAD_BYTES
  const held = new HeldClaims({ store, clock, telemetry })
  const largeAboveBytes = large === null ? Number.POSITIVE_INFINITY : Math.min(large.aboveBytes, inRecordBytesMax)

  return async (submission) => {
    const { queue, idempotencyKey } = submission
    const isLarge = submission.payload.length > largeAboveBytes
    if (!isLarge && submission.payload.length > inRecordBytesMax) throw tooLargeForLog(inRecordBytesMax)
    const callback = submission.callback == null ? null : callbacks.check(submission.callback, submission.owner)
    const task = newTask(submission)
    if (idempotencyKey === null) return keep(task, submission, callback, null, false)
    const name = { principal: submission.owner, route: queue.options.name, key: idempotencyKey, taskId: task.id }
    const reservation = await reserve(name, submission, callback)
    if (reservation.kind === 'kept') return replay(reservation.taskId, submission)
    const isResumed = reservation.kind === 'resume'
    const claim = isResumed ? { ...name, taskId: reservation.taskId } : name
    held.hold(claim)
    try {
      const claimed = isResumed ? resumed(task, claim.taskId, submission.timing) : task
      return await keep(claimed, submission, callback, claim, isResumed)
    } finally {
      held.letGo(claim)
    }
  }

  async function keep(
    named: Task,
    submission: Submission,
    callback: CallbackUrl | null,
    claim: HeldClaim | null,
    isResumed: boolean,
  ): Promise<Kept> {
    const { queue, waitMs } = submission
    const isLarge = submission.payload.length > largeAboveBytes
    const task = isLarge ? await outside(large!, named, claim) : named
    if (callback !== null) await register(task, callback, claim, isResumed)
    const mayExpect = waitMs > 0 && task.lane === replies.lane
    const expectation = mayExpect ? replies.expect(task.id) : null
    await append(task, queue, claim, expectation, callback !== null)
    queue.meters.accepted()
    const settled = claim === null ? 'sole' : await settle('confirm', claim)
    if (settled !== 'sole') {
      // Others may have appended it before, and its first result may be in the log: only the store says which that is.
      expectation?.cancel()
      return { ...replay(task.id, submission), replayed: settled === 'shared' && !isResumed }
    }
    return {
      taskId: task.id,
      acceptedAtMs: task.acceptedAtMs,
      replayed: false,
      keyExpiresAtMs: claim === null ? null : task.acceptedAtMs + queue.options.idempotency.windowMs,
      wait: expectation === null ? null : waitFor(expectation, waitMs),
    }
  }

  function newTask({ queue, owner, key, payload, contentType, headers, timing, priority }: Submission): Task {
    const acceptedAtMs = clock.wallMs()
    const delayMs = delayAt(timing, acceptedAtMs)
    const budgetMs = timing.budgetMs ?? delayMs + queue.options.deadlineMs
    const { lane } = replies
    const id = ids.mint({ owner, queue: queue.options.name, lane, acceptedAtMs, budgetMs })
    return {
      id,
      queue: queue.options.name,
      key,
      payload,
      contentType,
      headers,
      owner,
      lane,
      acceptedAtMs,
      budgetMs,
      delayMs,
      priority,
      generation: 0,
      attemptsBefore: 0,
      blob: null,
    }
  }

  async function outside({ blobs }: LargeBodies, task: Task, claim: HeldClaim | null): Promise<Task> {
    try {
      return { ...task, payload: EMPTY, blob: await blobs.put(task.payload, bodyKeptMs(task)) }
    } catch (thrown) {
      const error = new ForebayError(
        'BLOB_UNAVAILABLE',
        'The body is too large for the log, and the place for large ones cannot be reached; nothing was kept. Send it again.',
        { cause: thrown, retryAfterS: 1 },
      )
      throw await notAppended(task.id, claim, false, error)
    }
  }

  async function register(
    task: Task,
    callback: CallbackUrl,
    claim: HeldClaim | null,
    mayHaveEnded: boolean,
  ): Promise<void> {
    const { id, owner, queue, acceptedAtMs, budgetMs } = task
    const deadlineAtMs = acceptedAtMs + budgetMs
    try {
      await callbacks.register({ id, owner, queue, deadlineAtMs, mayHaveEnded }, callback)
    } catch (thrown) {
      throw await notAppended(id, claim, true, thrown)
    }
  }

  async function append(
    task: Task,
    queue: AcceptingQueue,
    claim: HeldClaim | null,
    expectation: Expectation | null,
    hasCallback: boolean,
  ): Promise<void> {
    try {
      await broker.publish([taskRecord(task, queue.options.topic, queue.partition(task.key))])
    } catch (thrown) {
      expectation?.cancel()
      const refused = thrown instanceof PublishError && thrown.failed.every((one) => one.outcome === 'refused')
      if (!refused) {
        if (claim !== null) await doubt(claim)
        throw outcomeUnknown(task.id, thrown)
      }
      const message = 'The log did not take the task; nothing was kept. Send it again.'
      const error = new ForebayError('NOT_ACCEPTED', message, { cause: thrown })
      throw await notAppended(task.id, claim, hasCallback, error)
    }
  }

  /**
   * Nothing was appended here: what the caller is told. Where somebody else may have appended the task under the same key,
   * that is not `error`, and what belongs to the task stays.
   */
  async function notAppended(
    taskId: string,
    claim: HeldClaim | null,
    hasCallback: boolean,
    error: unknown,
  ): Promise<unknown> {
    if (claim !== null && (await settle('release', claim)) !== 'sole') return outcomeUnknown(taskId, error)
    if (hasCallback) await callbacks.forget(taskId)
    return error
  }

  async function reserve(claim: HeldClaim, submission: Submission, callback: CallbackUrl | null) {
    const { windowMs } = submission.queue.options.idempotency
    const asked = { ...submission, queue: submission.queue.options.name, callback: callback?.href ?? null }
    const reservation = await store
      .reserve({ ...claim, fingerprint: fingerprint(asked), windowMs })
      .catch((thrown: unknown) => {
        throw new ForebayError('NOT_ACCEPTED', 'The idempotency key could not be looked up; nothing was kept.', {
          cause: thrown,
        })
      })
    if (reservation.kind === 'in-flight') {
      throw new ForebayError(
        'IDEMPOTENCY_IN_FLIGHT',
        'A request with this Idempotency-Key is being accepted right now. Ask again: should its gateway have died, the key is taken over within seconds.',
      )
    }
    if (reservation.kind === 'mismatch') {
      throw new ForebayError(
        'IDEMPOTENCY_MISMATCH',
        'This Idempotency-Key was used for another request (other queue, ordering key, content type, delay, priority, callback or body); use a new one.',
      )
    }
    return reservation
  }

  /** The first record of this id may be in the log, so the second must go by the same lane, delay and deadline. */
  function resumed(task: Task, taskId: string, timing: Timing): Task {
    const id = ids.read(taskId, task.owner)
    if (id === null) throw unreadableClaim()
    const { lane, acceptedAtMs, deadlineAtMs } = id
    const delayMs = delayAt(timing, acceptedAtMs)
    return { ...task, id: taskId, lane, acceptedAtMs, budgetMs: deadlineAtMs - acceptedAtMs, delayMs }
  }

  function replay(taskId: string, { queue, owner, waitMs }: Submission): Kept {
    const id = ids.read(taskId, owner)
    if (id === null) throw unreadableClaim()
    return {
      taskId,
      acceptedAtMs: id.acceptedAtMs,
      replayed: true,
      keyExpiresAtMs: id.acceptedAtMs + queue.options.idempotency.windowMs,
      wait: waitMs === 0 ? null : waitForOther(id, waitMs),
    }
  }

  /** For a task that another request handed in. That it is kept is true, whatever comes of the wait. */
  function waitForOther(id: TaskIdParts, waitMs: number): Pending<TaskView | null> {
    return bySignal(async (signal) => {
      const view = await replies.read(id, waitMs, signal).catch(() => null)
      return view === null || view.finishedAtMs === null ? null : view
    })
  }

  /** Best effort: a claim that is neither confirmed nor released resumes with the same id, which does no harm. */
  async function settle(act: 'confirm' | 'release', claim: HeldClaim): Promise<Settlement | 'unknown'> {
    try {
      return await store[act](claim)
    } catch (err) {
      telemetry.log.warn({ err }, `${act === 'confirm' ? 'confirming' : 'releasing'} an idempotency key failed`)
      return 'unknown'
    }
  }

  /** So that asking again with the key need not wait for the claim to age. */
  async function doubt(claim: HeldClaim): Promise<void> {
    await store
      .doubt(claim)
      .catch((err: unknown) => telemetry.log.warn({ err }, 'letting go of an idempotency key failed'))
  }
}

const EMPTY = new Uint8Array()

/** Apart from the rest, so that a waiting caller holds no body in memory. */
function waitFor(expectation: Expectation, waitMs: number): Pending<TaskView | null> {
  return {
    result: async () => {
      const result = await expectation.result(waitMs)
      return result === null ? null : viewOf(result)
    },
    cancel: () => expectation.cancel(),
  }
}

function outcomeUnknown(taskId: string, cause: unknown): ForebayError {
  return new ForebayError(
    'OUTCOME_UNKNOWN',
    'It is not known whether the log took the task. Send it again under the same Idempotency-Key, or ask for this task later.',
    { members: { task: taskId }, cause },
  )
}

function tooLargeForLog(limit: number): ForebayError {
  return new ForebayError('TASK_TOO_LARGE', `The body is larger than the log takes in one record (${limit} bytes).`, {
    members: { limit },
  })
}

/** The key that signed the claimed id is gone from the cluster topic. */
function unreadableClaim(): ForebayError {
  return new ForebayError(
    'IDEMPOTENCY_MISMATCH',
    'This Idempotency-Key stands for a task that cannot be read any more; use a new one.',
  )
}

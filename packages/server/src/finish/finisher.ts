import { type Backoff, type Broker, backoffMs, type Clock, type Random } from '@forebay/broker'
import type { Logger } from 'pino'
import type { BlobStore } from '../blobs/blob-store.ts'
import { type DeadLetter, deadRecord } from '../dead/dead-record.ts'
import { FloodLimit } from '../dead/flood-limit.ts'
import { blobOf, pinBody } from '../dead/letter-blobs.ts'
import { noteRecord, resultRecord } from '../records.ts'
import type { Note, Result, Task } from '../task.ts'
import type { Metrics } from '../telemetry.ts'
import { AttemptOutput } from './attempt-output.ts'
import { RESULTS, recordKeeper } from './keep-records.ts'
import { NO_RESULT_TOPICS, type ResultTopics } from './result-topics.ts'

/**
 * Publishes how a task ended; whoever called settles the task only once this has resolved true (P5). It tries for
 * ever: giving up would lose the result while the task's position moved on.
 */
export interface Finisher {
  /**
   * The result, and with it its copy in the queue's result topic and the dead letter where there are such. True when all
   * is durable; false when `lost` aborted first: then another owner will end the task.
   */
  finish(result: Result, task: EndedTask, letter: DeadLetter | null, lost: AbortSignal): Promise<boolean>
  /** Best effort: a note that gets lost costs a reader nothing but news. */
  note(note: Note, lane: number): void
  /** Where one attempt of a task says what it says before its end; to be ended before the task is finished. */
  output(task: Task, attempt: number, lost: AbortSignal): AttemptOutput
  /** Ends the tries that are under way: what is not durable then comes to the next owner. */
  close(): void
}

export type EndedTask = Pick<Task, 'lane' | 'key' | 'headers'>

export interface FinisherDependencies {
  readonly broker: Broker
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Told of tasks whose end waits, as too many of their queue end dead at once. Default: nobody. */
  readonly metrics?: Pick<Metrics, 'deadLettersWaiting'>
  /** Where bodies of letters lie that are too large for a record. Default: nowhere. */
  readonly blobs?: BlobStore | null
  /** Where copies of results go. Default: nowhere. */
  readonly resultTopics?: ResultTopics
}

export function createFinisher(dependencies: FinisherDependencies): Finisher {
  const { broker, clock, random, log, metrics, blobs = null, resultTopics = NO_RESULT_TOPICS } = dependencies
  const bytesMax = broker.capabilities.recordBytesMax
  const closed = new AbortController()
  const flood = new FloodLimit(clock)
  const parts = { broker, clock, random, log, closed: closed.signal }
  const keep = recordKeeper(parts, RESULTS)

  return {
    async finish(result, task, letter, lost) {
      const kept = fits(result, bytesMax)
      // The letter first: with the result alone in the log, a crash would leave a dead task that nobody can redrive.
      if (letter !== null && !(await keepLetter(letter, lost))) return false
      const record = resultRecord(kept, task.lane)
      const copy = resultTopics.copy(kept, task)
      return keep(copy === null ? [record] : [record, copy], kept.taskId, lost)
    },

    note(note, lane) {
      broker.publish([noteRecord(note, lane)]).catch((error: unknown) => {
        log.debug({ err: error, task: note.taskId }, 'a note was not kept')
      })
    },

    output: (task, attempt, lost) => new AttemptOutput(parts, task, attempt, lost),

    close: () => closed.abort(),
  }

  /** False when `lost` aborted first. */
  async function keepLetter(letter: DeadLetter, lost: AbortSignal): Promise<boolean> {
    const { queue } = letter
    const waits = (change: 1 | -1) => metrics?.deadLettersWaiting.inc({ queue }, change)
    if (!(await flood.turn(queue, [lost, closed.signal], waits))) return false
    if (blobs !== null && blobOf(letter.record) !== null && !(await untilPinned(blobs, letter, lost))) return false
    return keep([deadRecord(letter, bytesMax)], letter.taskId, lost)
  }

  /** The letter would outlive its body otherwise. False when `lost` aborted first. */
  async function untilPinned(place: BlobStore, { record, taskId }: DeadLetter, lost: AbortSignal): Promise<boolean> {
    const ended = AbortSignal.any([lost, closed.signal])
    for (let tries = 1; ; tries++) {
      try {
        await pinBody(place, record)
        return true
      } catch (error) {
        if (tries === 1)
          log.warn({ err: error, task: taskId }, 'the body of a dead letter is not pinned yet; trying on')
        await clock.sleep(backoffMs(RETRY, tries, random), ended).catch(() => {})
        if (ended.aborted) return false
      }
    }
  }
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }
/** Left free in a record for key, headers and the log's own framing. */
export const RECORD_HEADROOM_BYTES = 16 * 1024

/** A result that no log would take must not be tried for ever: it ends the task in a way that fits. */
function fits(result: Result, bytesMax: number): Result {
  const { end } = result
  if (end.state !== 'succeeded' || end.payload.length <= bytesMax - RECORD_HEADROOM_BYTES) return result
  const detail = `The worker's answer has ${end.payload.length} bytes; at most ${bytesMax - RECORD_HEADROOM_BYTES} can be kept.`
  return { ...result, end: { state: 'failed', fault: { code: 'RESULT_TOO_LARGE', detail } } }
}

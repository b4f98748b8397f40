import type { Broker, Clock, RecordToPublish } from '@forebay/broker'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { QueueOptions } from '../options.ts'
import { isEndState, type TaskState } from '../task.ts'
import { type Choice, type Chosen, chosenLetters } from './choose.ts'
import { type Letter, originalRecord } from './letter.ts'
import { bringBackBody, unpinBody } from './letter-blobs.ts'
import { groupAt, Pace } from './pace.ts'
import { type EditedLetter, type Refusal, redriveRecords, refusalOf } from './redrive-record.ts'
import { verdictRecord } from './verdict.ts'
import { writeInSteps } from './write-in-steps.ts'

export const REDRIVE_RATE_DEFAULT = 50
export const REDRIVE_RATE_MAX = 10_000

export interface RedriveParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly queues: ReadonlyMap<string, QueueOptions>
  /** Partitions of the results topic. */
  readonly lanes: number
  /**
   * What readers are told of a task; null where nothing is known. Where it rejects the letter waits. A letter goes to the log before the result that it
   * belongs to, so there are letters of tasks that came to another end after all: these get no other life. Nor does
   * what was redriven already.
   */
  readonly knownLife: (taskId: string) => Promise<KnownLife | null>
  /** Where bodies lie that are too large for a record. Default: nowhere. */
  readonly blobs?: BlobStore | null
}

export interface KnownLife {
  readonly generation: number
  readonly state: TaskState
}

export interface RedriveRequest {
  readonly choice: Choice
  /** Letters a second. */
  readonly ratePerS: number
  /** Redrive also what has reached `REDRIVES_MAX`. */
  readonly force: boolean
  /** Principal. */
  readonly by: string
  readonly reason: string
  /** Another body; only for a choice of one letter. */
  readonly edit: EditedLetter | null
}

export interface RedriveProgress {
  readonly redriven: number
  /** Their next generation was open already, or they had ended otherwise: they only got their verdict. */
  readonly already: number
  readonly refused: Readonly<Partial<Record<Refusal, number>>>
}

/**
 * Gives dead letters a new life, oldest first in each partition: the task's record, then the note that readers see,
 * then the verdict. A run that ends in between leaves the letter open, and doing it again is harmless: it opens the
 * same generation, within which the first result wins. So is a second run at the same time.
 *
 * Yields after each group of letters; stop iterating, or abort, to stop it. Throws PublishError where the log takes no
 * more, BLOB_UNAVAILABLE where bodies outside it cannot be reached: what has no verdict by then is still open.
 */
export async function* redrive(
  parts: RedriveParts,
  request: RedriveRequest,
  signal: AbortSignal,
): AsyncGenerator<RedriveProgress, undefined> {
  const { clock, queues, blobs = null } = parts
  const groupMax = groupAt(request.ratePerS)
  const pace = new Pace(clock, request.ratePerS)
  const done = { redriven: 0, already: 0, refused: {} as Partial<Record<Refusal, number>> }
  let group: Chosen[] = []
  for await (const chosen of chosenLetters(parts, request.choice, signal)) {
    const refusal = refusalOf(chosen.letter, request.edit !== null, request.force) ?? (await bodyRefusal(chosen))
    if (refusal !== null) {
      done.refused[refusal] = (done.refused[refusal] ?? 0) + 1
      continue
    }
    group.push(chosen)
    if (group.length < groupMax) continue
    await run(group)
    group = []
    yield snapshot()
  }
  if (group.length > 0) await run(group)
  yield snapshot()

  /** Brings a body that lies outside the log back into use; its letter's pin stays until the verdict. */
  async function bodyRefusal({ letter, queue }: Chosen): Promise<Refusal | null> {
    if (request.edit !== null) return null
    const { deadlineMs } = queues.get(queue.name)!
    return (await bringBackBody(blobs, originalRecord(letter), deadlineMs)) ? null : 'blob'
  }

  async function run(letters: readonly Chosen[]): Promise<void> {
    const standings = await standingsOf(letters)
    const open = letters.filter((_, index) => standings[index] === 'open')
    const superseded = letters.filter((_, index) => standings[index] === 'superseded')
    if (open.length > 0) await pace.take(open.length, signal)
    await writeInOrder(open)
    await publishAll(
      parts.broker,
      superseded.map((chosen) => verdictOf(chosen, ALREADY)),
    )
    const settled = [...open, ...superseded]
    await Promise.all(settled.map(({ letter }) => unpinBody(blobs, originalRecord(letter))))
    done.redriven += open.length
    done.already += superseded.length
    const unfinished = letters.length - settled.length
    if (unfinished > 0) done.refused.unfinished = (done.refused.unfinished ?? 0) + unfinished
  }

  /** Waits a moment for results that are on their way into the store. */
  async function standingsOf(letters: readonly Chosen[]): Promise<readonly Standing[]> {
    const look = () => Promise.all(letters.map(({ letter }) => standingOf(letter)))
    let standings = await look()
    for (let looks = 1; looks < LOOKS_MAX && standings.includes('unfinished'); looks++) {
      await clock.sleep(LOOK_AGAIN_MS, signal)
      standings = await look()
    }
    return standings
  }

  async function standingOf({ taskId, generation, atMs }: Letter): Promise<Standing> {
    const known = await parts.knownLife(taskId).catch(() => undefined)
    if (known === undefined) return 'unfinished'
    // Results are not kept for as long as letters are; of a young one's task something will be known soon.
    if (known === null) return clock.wallMs() < atMs + RESULT_WITHIN_MS ? 'unfinished' : 'open'
    if (known.generation < generation) return 'open'
    if (known.generation > generation) return 'superseded'
    if (!isEndState(known.state)) return 'unfinished'
    return known.state === 'dead' ? 'open' : 'superseded'
  }

  async function writeInOrder(letters: readonly Chosen[]): Promise<void> {
    if (letters.length === 0) return
    const nowMs = clock.wallMs()
    const records = letters.map(({ letter, queue }) =>
      redriveRecords(letter, request.edit, { queue: queues.get(queue.name)!, lanes: parts.lanes, nowMs }),
    )
    const { written, fault } = await writeInSteps(parts.broker, letters.length, [
      (index) => records[index]!.task,
      (index) => records[index]!.note,
      (index) => verdictOf(letters[index]!, ''),
    ])
    if (fault === null) return
    done.redriven += written
    throw fault.thrown
  }

  function verdictOf({ letter }: Chosen, why: string): RecordToPublish {
    const { by, reason, edit } = request
    const reasons = [reason, why].filter((one) => one !== '')
    const edited = edit !== null && why === ''
    return verdictRecord({ kind: 'redriven', letter, by, atMs: clock.wallMs(), reason: reasons.join('; '), edited })
  }

  function snapshot(): RedriveProgress {
    return { ...done, refused: { ...done.refused } }
  }
}

async function publishAll(broker: Broker, records: readonly RecordToPublish[]): Promise<void> {
  if (records.length > 0) await broker.publish(records)
}

/** A letter's result, or a note of its task, is in the store by then. */
const RESULT_WITHIN_MS = 60_000
const LOOKS_MAX = 10
const LOOK_AGAIN_MS = 200

type Standing = 'open' | 'superseded' | 'unfinished'
const ALREADY = 'its next generation was open already, or it had ended otherwise'

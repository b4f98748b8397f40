import {
  type Backoff,
  type Broker,
  backoffMs,
  type Clock,
  PublishError,
  type Random,
  type RecordToPublish,
} from '@forebay/broker'
import type { Logger } from 'pino'

export interface RecordKeeperParts {
  readonly broker: Pick<Broker, 'publish'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Ends the tries that are under way. */
  readonly closed: AbortSignal
}

/** What a task comes to, into the log. True when all is durable; false when `lost` or `closed` aborted first. */
export type KeepRecords = (records: readonly RecordToPublish[], taskId: string, lost: AbortSignal) => Promise<boolean>

/** What is kept, and what of it a retry must publish again. */
export interface KeptKind {
  readonly tryingOn: string
  readonly kept: string
  stillMissing(records: readonly RecordToPublish[], error: unknown): readonly RecordToPublish[]
}

/** Records that may be in the log already go again too: the first result wins. */
export const RESULTS: KeptKind = {
  tryingOn: 'a result is not in the log yet; trying on',
  kept: 'the result is in the log now',
  stillMissing(records, error) {
    if (!(error instanceof PublishError)) return records
    return error.failed.map((one) => records[one.index]!)
  },
}

/** All that follows the first that failed goes again too: readers drop what comes twice, but a gap they could not mend. */
export const OUTPUTS: KeptKind = {
  tryingOn: 'partial output is not in the log yet; trying on',
  kept: 'the partial output is in the log now',
  stillMissing(records, error) {
    if (!(error instanceof PublishError) || error.failed.length === 0) return records
    return records.slice(Math.min(...error.failed.map((one) => one.index)))
  },
}

export function recordKeeper({ broker, clock, random, log, closed }: RecordKeeperParts, kind: KeptKind): KeepRecords {
  return async (records, taskId, lost) => {
    try {
      await broker.publish(records)
      return true
    } catch (error) {
      return untilKept(kind.stillMissing(records, error), taskId, lost, error)
    }
  }

  async function untilKept(
    missing: readonly RecordToPublish[],
    taskId: string,
    lost: AbortSignal,
    firstError: unknown,
  ): Promise<boolean> {
    log.warn({ err: firstError, task: taskId }, kind.tryingOn)
    const ended = AbortSignal.any([lost, closed])
    for (let tries = 1; ; tries++) {
      try {
        await clock.sleep(backoffMs(RETRY, tries, random), ended)
        await broker.publish(missing)
        log.info({ task: taskId, tries }, kind.kept)
        return true
      } catch (error) {
        if (ended.aborted) return false
        missing = kind.stillMissing(missing, error)
      }
    }
  }
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

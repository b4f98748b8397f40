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

/** How a task ended, into the log. True when all is durable; false when `lost` or `closed` aborted first. */
export type KeepRecords = (records: readonly RecordToPublish[], taskId: string, lost: AbortSignal) => Promise<boolean>

export function recordKeeper({ broker, clock, random, log, closed }: RecordKeeperParts): KeepRecords {
  return async (records, taskId, lost) => {
    try {
      await broker.publish(records)
      return true
    } catch (error) {
      return untilKept(stillMissing(records, error), taskId, lost, error)
    }
  }

  async function untilKept(
    missing: readonly RecordToPublish[],
    taskId: string,
    lost: AbortSignal,
    firstError: unknown,
  ): Promise<boolean> {
    log.warn({ err: firstError, task: taskId }, 'a result is not in the log yet; trying on')
    const ended = AbortSignal.any([lost, closed])
    for (let tries = 1; ; tries++) {
      try {
        await clock.sleep(backoffMs(RETRY, tries, random), ended)
        await broker.publish(missing)
        log.info({ task: taskId, tries }, 'the result is in the log now')
        return true
      } catch (error) {
        if (ended.aborted) return false
        missing = stillMissing(missing, error)
      }
    }
  }
}

const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }

/** What a retry must publish again: records that may be in the log already go again too (the first result wins). */
function stillMissing(records: readonly RecordToPublish[], error: unknown): readonly RecordToPublish[] {
  if (!(error instanceof PublishError)) return records
  return error.failed.map((one) => records[one.index]!)
}

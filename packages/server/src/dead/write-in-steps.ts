import { type Broker, PublishError, type RecordToPublish } from '@forebay/broker'

export interface WrittenInSteps {
  /** Of how many the records of all steps are durable. */
  readonly written: number
  /** Why that is not all of them. */
  readonly fault: { readonly thrown: unknown } | null
}

/**
 * Several records for each of `count` things, each step durable before the next one begins. What the log did not take of
 * a step gets no further; what it took goes on.
 */
export async function writeInSteps(
  broker: Broker,
  count: number,
  steps: readonly ((index: number) => RecordToPublish)[],
): Promise<WrittenInSteps> {
  let kept = Array.from({ length: count }, (_, index) => index)
  let fault: WrittenInSteps['fault'] = null
  for (const step of steps) {
    try {
      if (kept.length > 0) await broker.publish(kept.map(step))
    } catch (thrown) {
      fault ??= { thrown }
      const failed = new Set(thrown instanceof PublishError ? thrown.failed.map((one) => one.index) : kept.keys())
      kept = kept.filter((_, position) => !failed.has(position))
    }
  }
  return { written: kept.length, fault }
}

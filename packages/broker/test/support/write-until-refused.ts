import { type FailedRecord, PublishError } from '../../src/broker.ts'
import { embeddedBroker } from '../../src/embedded/embedded.ts'

/**
 * A program for a process that may not write large files: publishes until it is refused, then reads everything back.
 * Prints how each publish ended that failed, and how many records were acknowledged and read.
 */
const broker = embeddedBroker({ dir: process.argv[2]! })
await broker.open({ topics: [{ name: 'tasks', partitions: 1, retentionMs: 'forever' }] })
const outcomes: FailedRecord['outcome'][] = []
let acknowledged = 0
while (outcomes.at(-1) !== 'refused') {
  try {
    await broker.publish([{ topic: 'tasks', key: null, value: new Uint8Array(100_000), headers: [] }])
    acknowledged++
  } catch (error) {
    if (!(error instanceof PublishError)) throw error
    outcomes.push(error.failed[0]!.outcome)
  }
}
const listener = await broker.listen({ topic: 'tasks', partition: 0, from: 'earliest' })
let read = 0
for await (const records of listener) {
  read += records.length
  if (read >= acknowledged) break
}
process.stdout.write(JSON.stringify({ outcomes, acknowledged, read }))
await broker.close()

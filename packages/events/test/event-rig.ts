import type { LogRecord } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { type Consumer, createConsumer } from '../src/consumer.ts'
import type { ConsumerOptions } from '../src/consumer-options.ts'
import type { EventDefinition } from '../src/define-event.ts'
import { openEventLog } from '../src/event-log.ts'
import { createProducer } from '../src/producer.ts'
import { newFolder, readRecords } from './read-records.ts'
import { created, createdV2, verified } from './some-events.ts'

export const QUICK = { attemptsMax: 4, withinMs: 60_000, backoffMs: 1, backoffMaxMs: 5 }

/** A real log in a folder of its own, a producer of all events of the tests, and consumers as a test asks for them. */
export async function openRig({ partitions = 1 }: { readonly partitions?: number } = {}) {
  const { dir, remove } = newFolder()
  const events = [created, createdV2, verified] as const
  const broker = embeddedBroker({ dir, commitIntervalMs: 10 })
  const log = await openEventLog({ broker, events, groups: ['mails', 'others'], partitions })
  const producer = await createProducer({ broker: log, source: '/user-service', events })
  const consumers: Consumer[] = []
  return {
    dir,
    log,
    producer,
    async consume<const Definition extends EventDefinition>(
      options: Omit<ConsumerOptions<Definition>, 'broker' | 'group'> & { readonly group?: string },
    ): Promise<Consumer> {
      const consumer = await createConsumer({ broker: log, group: 'mails', retry: QUICK, ...options })
      consumers.push(consumer)
      return consumer
    },
    /** Of the users, in this order. */
    async verify(...userIds: readonly string[]): Promise<void> {
      await Promise.all(
        userIds.map((userId, index) => producer.publish(verified, { data: { userId }, id: `${userId}-${index}` })),
      )
    },
    /** Records of a topic of one partition. */
    read: (topic: string, count: number) => readRecords(broker, topic, count),
    async committed(group = 'mails.accounts'): Promise<readonly (number | null)[]> {
      const states = await broker.inspect({ topics: ['accounts'], group })
      return states.map(({ committed }) => committed)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(consumers.map((consumer) => consumer.stop({ graceMs: 0 })))
      await producer.close()
      await log.close()
      remove()
    },
  }
}

/** Resolves when `condition` holds; asks again whenever the loop turns. */
export async function until(condition: () => boolean, patienceMs = 30_000): Promise<void> {
  const giveUpAtMs = performance.now() + patienceMs
  while (!condition()) {
    if (performance.now() > giveUpAtMs) throw new Error(`Not in time: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export function headersOf({ headers }: LogRecord): Record<string, string> {
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))
}

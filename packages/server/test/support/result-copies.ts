import type { Broker, LogRecord } from '@forebay/broker'

/** A record of a result topic as its reader sees it. */
export interface Copy {
  readonly key: string
  readonly value: string
  readonly headers: Readonly<Record<string, string>>
}

/** The first `count` records of a topic with one partition. */
export async function readCopies(broker: Broker, topic: string, count: number): Promise<Copy[]> {
  const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
  const copies: Copy[] = []
  for await (const records of listener) {
    copies.push(...records.map(copyOf))
    if (copies.length >= count) break
  }
  await listener.close()
  return copies
}

function copyOf({ key, value, headers }: LogRecord): Copy {
  const named = headers.map(([name, bytes]) => [name, String(bytes)] as const)
  return { key: String(key), value: String(value), headers: Object.fromEntries(named) }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Broker, LogRecord, RecordHeader } from '@forebay/broker'

/** The first so many records of a partition. */
export async function readRecords(
  broker: Broker,
  topic: string,
  count: number,
  partition = 0,
): Promise<readonly LogRecord[]> {
  const listener = await broker.listen({ topic, partition, from: 'earliest' })
  const found: LogRecord[] = []
  for await (const records of listener) {
    found.push(...records)
    if (found.length >= count) break
  }
  await listener.close()
  return found
}

/** Of the event that it carries. */
export function idOf({ headers }: { readonly headers: readonly RecordHeader[] }): string {
  return String(headers.find(([name]) => name === 'ce_id')![1])
}

/** A folder of a test's own. */
export function newFolder() {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-events-'))
  return { dir, remove: () => rmSync(dir, { recursive: true }) }
}

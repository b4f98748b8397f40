import { join } from 'node:path'
import type { Broker, RecordToPublish } from '@forebay/broker'
import { EDGE_TOPIC, sequenceHeader, sourceHeader } from '@forebay/edge'
import { LogStore, type LogStoreOptions, type QueryLimits, queryLogs, readRow } from '@forebay/edge/store'
import { accessLine, clock, random, silent } from './edge-rig.ts'

export function storeFolder(dir: string): string {
  return join(dir, 'logs')
}

export function startStore(dir: string, broker: Broker, more: Partial<LogStoreOptions> = {}): Promise<LogStore> {
  return LogStore.start({
    options: { dir: storeFolder(dir), retentionMs: YEAR_MS, bytesMax: 2 ** 40, writeEveryMs: 50, ...more },
    ...{ broker, clock, random, log: silent },
    topics: new Map([[EDGE_TOPIC, readRow]]),
  })
}

/** As the collector publishes them: each line stands for its bytes of the epoch. */
export function asRecords(lines: readonly string[], source = 'web-1:file', epoch = 'e1', from = 0): RecordToPublish[] {
  let at = from
  return lines.map((line) => {
    const first = at
    at += Buffer.byteLength(line) + 1
    const headers = [sourceHeader(source, epoch), sequenceHeader(first, at)]
    return { topic: EDGE_TOPIC, key: Buffer.from(source), value: Buffer.from(line), headers }
  })
}

/** A line of now, so that it lies within every retention. */
export function lineNow(more: Readonly<Record<string, unknown>> = {}): string {
  return accessLine({ time: new Date(clock.wallMs()).toISOString(), ...more })
}

export async function query(dir: string, sql: string, limits: QueryLimits = {}): Promise<unknown[][]> {
  const rows: unknown[][] = []
  for await (const part of queryLogs(storeFolder(dir), sql, limits)) {
    if ('rows' in part) rows.push(...(part.rows as unknown[][]))
  }
  return rows
}

/** Asks until the answer is this one; the test's own timeout ends it otherwise. */
export async function queryUntil(dir: string, sql: string, isEnough: (rows: unknown[][]) => boolean) {
  for (;;) {
    const rows = await query(dir, sql)
    if (isEnough(rows)) return rows
  }
}

const YEAR_MS = 365 * 86_400_000

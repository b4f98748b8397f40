import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import {
  type Collector,
  EDGE_TOPIC,
  LOGS_TOPIC,
  type LogRow,
  type Row,
  readPosition,
  type SourcePosition,
  startCollector,
} from '@forebay/edge'
import type { CollectorOptions } from '../src/options.ts'

export const clock = systemClock
export const random = systemRandom
export const silent = { info() {}, warn() {} }
export const noMeters = { kept() {}, dropped() {}, refused() {}, produced() {} }

export function temporaryFolder(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'forebay-edge-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export async function openLog(dir: string, topics: readonly string[] = [EDGE_TOPIC, LOGS_TOPIC]): Promise<Broker> {
  const broker = embeddedBroker({ dir: join(dir, 'log'), clock, random })
  await broker.open({ topics: topics.map((name) => ({ name, partitions: 1, retentionMs: 3_600_000 })) })
  return broker
}

/** On the clock of the machine, without metrics and without a word. */
export function collectOn(broker: Broker, options: CollectorOptions): Promise<Collector> {
  return startCollector({ options, broker, clock, random, meters: noMeters, log: silent })
}

export interface Seen {
  readonly record: LogRecord
  readonly position: SourcePosition
  readonly row: Row | LogRow
}

/** The rows of the topic from its begin, until `enough` says so. */
export async function rowsUntil(
  broker: Broker,
  enough: (rows: readonly Seen[]) => boolean,
  topic = EDGE_TOPIC,
): Promise<Seen[]> {
  const seen: Seen[] = []
  const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
  try {
    if (enough(seen)) return seen
    for await (const records of listener) {
      for (const record of records) {
        seen.push({ record, position: readPosition(record)!, row: JSON.parse(textOf(record)) as Row | LogRow })
      }
      if (enough(seen)) return seen
    }
    return seen
  } finally {
    await listener.close()
  }
}

export function textOf(record: LogRecord): string {
  return Buffer.from(record.value!).toString()
}

export function collectorOptions(dir: string, more: Partial<CollectorOptions>): CollectorOptions {
  return {
    name: 'web-1',
    dir: join(dir, 'edge'),
    topic: EDGE_TOPIC,
    logsTopic: LOGS_TOPIC,
    files: [],
    syslog: { udp: null, tcp: null, unix: null, format: 'json' },
    http: { listen: null, unix: null, keys: [] },
    produce: [],
    spool: { bytesMax: 64 * 1024 * 1024, whenFull: 'refuse' },
    redact: { parameters: ['token'], client: 'keep', members: ['cookie'] },
    ...more,
  }
}

let serial = 0
/** As nginx writes it in our format; each has an id of its own. */
export function accessLine(more: Readonly<Record<string, unknown>> = {}): string {
  const requestId = (++serial).toString(16).padStart(32, '0')
  return JSON.stringify({
    ...{ v: 1, kind: 'access', time: '2026-11-21T13:55:01.123+00:00', server: 'web-1', host: 'tasks.example.com' },
    ...{ client: '203.0.113.7', method: 'POST', path: '/v1/queues/thumbnails/tasks', query: '', protocol: 'HTTP/1.1' },
    ...{ status: 202, requestBytes: 1523, responseBytes: 412, seconds: 0.004, upstream: '10.0.0.1:8080' },
    ...{ upstreamStatus: 202, connectSeconds: 0, headerSeconds: 0.003, upstreamSeconds: 0.003, tls: 'TLSv1.3' },
    ...{ cipher: 'TLS_AES_256_GCM_SHA384', cache: '', userAgent: 'curl/8.0', referer: '', requestId },
    ...{ trace: '4bf92f3577b34da6a3ce929d0e0e4736', task: '', connection: 7, connectionRequests: 1, ...more },
  })
}

/** As `forebay nginx` lets nginx write it. */
export function nginxLine(more: Readonly<Record<string, unknown>> = {}): string {
  const requestId = (++serial).toString(16).padStart(32, '0')
  return JSON.stringify({
    ...{ nginx: 1, time: '2026-11-21T13:55:01+01:00', clock: 1_795_265_701.123, client: '203.0.113.7' },
    ...{ request: 'POST /v1/queues/thumbnails/tasks?page=2 HTTP/1.1', status: '202', upstreamStatus: '502, 202' },
    ...{ connectSeconds: '0.001, 0.000', headerSeconds: '-, 0.003', upstreamSeconds: '0.001, 0.003' },
    ...{ referer: 'https://shop.example.com/cart', traceparent: TRACEPARENT, location: '/v1/tasks/01jd', task: '' },
    ...{ server: 'web-1', host: 'tasks.example.com', requestBytes: 1523, responseBytes: 412, seconds: 0.004 },
    ...{ upstream: '10.0.0.1:8080, 10.0.0.2:8080', tls: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
    ...{ cache: '', userAgent: 'curl/8.0', requestId, connection: 7, connectionRequests: 1, ...more },
  })
}

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

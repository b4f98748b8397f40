import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { HistoryEvent } from '../history/history.ts'
import { digest, faultDigest, nowMs } from './journal.ts'

/** Every record that a run left in Kafka, as kcat reads it: a client nobody here wrote. */
export async function readLog(bootstrap: string, queues: readonly string[]): Promise<HistoryEvent[]> {
  const events: HistoryEvent[] = []
  const sinceBootMs = Date.now() - nowMs()
  for (const queue of queues) {
    const topic = `forebay.tasks.${queue}`
    await eachRecord(bootstrap, topic, (record, headers) => {
      events.push(taskEvent(record, headers, topic, queue, record.ts - sinceBootMs))
    })
    await eachRecord(bootstrap, `${topic}.dead`, (record, headers) => {
      const taskId = headers.get('fb-dead-task')
      if (taskId === undefined) return
      const generation = Number(headers.get('fb-generation') ?? 0)
      const origin = headers.get('fb-dead-origin') ?? ''
      const place = { topic: `${topic}.dead`, partition: record.partition, offset: record.offset }
      const about = { type: 'log.dead', taskId, generation, origin, body: digest(record.payload ?? '') } as const
      events.push({ t: record.ts - sinceBootMs, by: 'log', ...place, ...about })
    })
  }
  await eachRecord(bootstrap, 'forebay.results', (record, headers) => {
    events.push(reportedEvent(record, headers, record.ts - sinceBootMs))
  })
  return events
}

function taskEvent(
  record: KcatRecord,
  headers: ReadonlyMap<string, string>,
  topic: string,
  queue: string,
  t: number,
): HistoryEvent {
  const acceptedAtMs = Date.parse(headers.get('ce_time') ?? '')
  return {
    t,
    by: 'log',
    type: 'log.task',
    topic,
    partition: record.partition,
    offset: record.offset,
    taskId: headers.get('ce_id') ?? '',
    queue,
    key: record.key ?? null,
    owner: headers.get('fb-owner') ?? '',
    generation: Number(headers.get('fb-generation') ?? 0),
    attemptsBefore: Number(headers.get('fb-attempts') ?? 0),
    delayMs: Number(headers.get('fb-delay') ?? 0),
    acceptedAtMs,
    deadlineAtMs: acceptedAtMs + Number(headers.get('fb-budget') ?? 0),
    body: digest(record.payload ?? ''),
  }
}

function reportedEvent(record: KcatRecord, headers: ReadonlyMap<string, string>, t: number): HistoryEvent {
  const { partition, offset } = record
  const taskId = record.key ?? ''
  const state = headers.get('fb-state') ?? ''
  const generation = Number(headers.get('fb-generation') ?? 0)
  const common = { t, by: 'log', partition, offset, taskId, generation, state }
  if (headers.get('fb-kind') !== 'result') return { ...common, type: 'log.note' }
  const payload = record.payload ?? ''
  const attempts = Number(headers.get('fb-attempts') ?? 0)
  return {
    ...common,
    type: 'log.result',
    answer: state === 'succeeded' ? digest(payload) : faultOf(payload),
    attempts,
    finishedAtMs: Number(headers.get('fb-time') ?? 0),
  }
}

function faultOf(payload: string): string {
  const { code, detail } = JSON.parse(payload) as { code: string; detail: string }
  return faultDigest(code, detail)
}

/** As `kcat -J` prints it. */
interface KcatRecord {
  readonly partition: number
  readonly offset: number
  /** Wall ms. */
  readonly ts: number
  readonly key: string | null
  readonly payload: string | null
  /** Names and values in turn. */
  readonly headers?: readonly string[]
}

async function eachRecord(
  bootstrap: string,
  topic: string,
  take: (record: KcatRecord, headers: ReadonlyMap<string, string>) => void,
): Promise<void> {
  const kcat = spawn('kcat', ['-C', '-J', '-e', '-q', '-o', 'beginning', '-b', bootstrap, '-t', topic], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(kcat, 'exit')
  for await (const line of createInterface(kcat.stdout)) {
    const record = JSON.parse(line) as KcatRecord
    const flat = record.headers ?? []
    const headers = new Map<string, string>()
    for (let at = 0; at < flat.length; at += 2) headers.set(flat[at]!, flat[at + 1]!)
    take(record, headers)
  }
  const [code] = await exited
  if (code !== 0) throw new Error(`kcat could not read ${topic} (exit ${code})`)
}

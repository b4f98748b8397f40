import type { Clock } from '@forebay/broker'
import type { JsonLine } from './json-line.ts'
import { isTellable, logRowOf, timeOfNanos } from './log-fields.ts'
import type { Redaction } from './redaction.ts'
import { severityOf } from './severity.ts'

/**
 * A line that a logger wrote as a JSON object: pino's own form, and the names that other loggers use. A line that is a
 * `LogRow` already stays one. `service` is whose it is where the line does not say.
 */
export function readLogLine(
  text: string,
  { redaction, clock, service }: { readonly redaction: Redaction; readonly clock: Clock; readonly service: string },
): JsonLine {
  const line = parsed(text)
  if (line === undefined) return { kind: 'unreadable', reason: 'not-json' }
  if (line === null || typeof line !== 'object' || Array.isArray(line)) {
    return { kind: 'unreadable', reason: 'not-an-object' }
  }
  const members = line as Record<string, unknown>
  const isRow = members.v === 1 && members.kind === 'log'
  if (isRow) for (const name of ['v', 'kind']) delete members[name]
  const level = take(members, ['severity', 'level', 'levelname', 'lvl'])
  const attributes = isRow ? objectIn(members, 'attributes') : {}
  const resource = isRow ? objectIn(members, 'resource') : {}
  const time = take(members, ['time', 'timestamp', '@timestamp', 'ts', 'asctime'])
  const [trace, span] = traceOf(members)
  const row = logRowOf(
    {
      time: timeOf(time, members, clock),
      severity: isRow && typeof level === 'number' ? level : severityOf(level),
      severityText: take(members, ['severityText']) ?? (typeof level === 'string' ? level : undefined),
      body: take(members, ['body', 'msg', 'message', 'event']),
      service: take(members, ['service', 'service.name', 'name', 'app']) ?? service,
      server: take(members, ['server', 'hostname', 'host.name', 'host']),
      scope: take(members, ['scope', 'logger', 'logger_name', 'module']),
      event: take(members, ['event', 'event.name']),
      trace,
      span,
      task: take(members, ['task', 'forebay.task', 'task_id']),
      attributes: isRow ? { ...attributes, ...members } : members,
      resource,
    },
    redaction,
  )
  return { kind: 'rewritten', value: Buffer.from(JSON.stringify(row)) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The first of these members that says something plain; it is no attribute then. */
function take(members: Record<string, unknown>, names: readonly string[]): unknown {
  for (const name of names) {
    const value = members[name]
    if (value === undefined || value === null || (typeof value === 'object' && name !== 'body')) continue
    delete members[name]
    return value
  }
  return undefined
}

function objectIn(members: Record<string, unknown>, name: string): Record<string, unknown> {
  const value = members[name]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  delete members[name]
  return value as Record<string, unknown>
}

function traceOf(members: Record<string, unknown>): readonly [trace: unknown, span: unknown] {
  const [, trace, span] = TRACEPARENT.exec(String(members.traceparent ?? '')) ?? []
  if (trace !== undefined) delete members.traceparent
  return [
    take(members, ['trace', 'trace_id', 'traceId', 'trace.id', 'dd.trace_id']) ?? trace,
    take(members, ['span', 'span_id', 'spanId', 'span.id', 'dd.span_id']) ?? span,
  ]
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-/

/** Numbers are seconds, ms, µs or ns since 1970, by their size. What is no time stays an attribute. */
function timeOf(given: unknown, members: Record<string, unknown>, clock: Clock): string {
  const ms = typeof given === 'number' ? msOf(given) : typeof given === 'string' ? Date.parse(given) : Number.NaN
  if (isTellable(ms)) {
    // A text may say more than ms.
    const micros = typeof given === 'string' ? /\.\d{3}(\d{1,3})/.exec(given)?.[1] : undefined
    const exact = micros === undefined ? 0n : BigInt(micros.padEnd(3, '0'))
    return exact === 0n ? new Date(ms).toISOString() : timeOfNanos(BigInt(Math.trunc(ms)) * 1_000_000n + exact * 1_000n)
  }
  if (given !== undefined) members.time = given
  return new Date(clock.wallMs()).toISOString()
}

function msOf(count: number): number {
  for (const unit of [1_000, 1, 0.001, 0.000_001]) {
    const ms = count * unit
    if (ms < MS_LIMIT) return ms
  }
  return Number.NaN
}

/** The year 5138: seconds of our time lie below it as ms, ms as µs do not. */
const MS_LIMIT = 1e14

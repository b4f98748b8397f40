import { ROW_VERSION } from '../row.ts'
import type { Given } from './json-line.ts'
import { readRequestLine, taskIn } from './request-line.ts'

/**
 * What `forebay nginx` lets nginx write (log_format forebay): nginx's variables as they are, `{"nginx":1,…}`. nginx would pay for
 * taking them apart with a regular expression for each, on the way of every request; here it costs nobody's answer a moment.
 * Returns the row of it, or null for a version that is not known. Members that a team added go on as they are.
 */
export function rowOfNginx(line: Given): Given | null {
  const { nginx, time, clock, client, request, status, traceparent, location, task, ...rest } = line
  if (nginx !== NGINX_LINE_VERSION) return null
  const { upstreamStatus, connectSeconds, headerSeconds, upstreamSeconds, referer, ...same } = rest
  const { method, path, query, protocol } = readRequestLine(text(request))
  const read = {
    ...{ v: ROW_VERSION, kind: 'access', time: timeOf(text(time), Number(clock)), client: text(client) },
    ...{ method, path, query, protocol },
    status: statusOf(text(status)),
    upstreamStatus: lastOf(text(upstreamStatus)),
    connectSeconds: lastOf(text(connectSeconds)),
    headerSeconds: lastOf(text(headerSeconds)),
    upstreamSeconds: lastOf(text(upstreamSeconds)),
    ...{ referer: text(referer), trace: traceOf(text(traceparent)) },
    task: text(task) || taskOf(text(location), path),
  }
  // What was read stands first, and holds against members of the same name.
  return { ...read, ...same, ...read }
}

const NGINX_LINE_VERSION = 1

/** '2026-11-21T13:55:01+00:00' with the thousandths of `clock`, seconds since 1970 of the same moment. */
function timeOf(time: string, clock: number): string {
  const thousandths = Number.isFinite(clock) ? clock.toFixed(3).slice(-4) : ''
  return time.replace(/^(.{19})(?=[+-]|Z)/, (whole) => whole + thousandths)
}

/** nginx says 000 where no answer was begun, and 009 of HTTP/0.9, which has no status. */
function statusOf(status: string): number | null {
  if (!/^\d{3}$/.test(status)) return null
  return status.startsWith('0') ? 0 : Number(status)
}

/** nginx lists one value for each address it tried, '0.001, 0.002 : 0.003', and '-' or nothing where there is none. */
function lastOf(values: string): number | null {
  const last = /(?:^|[ ,:])(\d+(?:\.\d+)?)$/.exec(values)?.[1]
  return last === undefined ? null : Number(last)
}

/** Trace id of what the client sent, '' where that is no traceparent (W3C Trace Context, §3.2). */
function traceOf(traceparent: string): string {
  return TRACEPARENT.exec(traceparent)?.[1] ?? ''
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/

/** The task that was begun, by the address in the answer, or else the one that the path names: whether it exists is said by the status. */
export function taskOf(location: string, path: string): string {
  const begun = location === '' ? undefined : /\/v1\/tasks\/([\w-]{1,128})$/.exec(location)?.[1]
  return begun ?? taskIn(path)
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

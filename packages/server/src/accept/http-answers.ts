import type { ServerResponse } from 'node:http'
import { isoTime } from '../iso-time.ts'
import { isMediaType } from '../media-type.ts'
import { OCTET_STREAM } from '../records.ts'
import type { TaskView } from '../reply/replies.ts'
import { sendTaskProblem, taskProblem } from './problem.ts'
import type { TaskRead } from './read-task.ts'

/** The answers of the HTTP door that are no problems. Header lists hold names and values in turn, as Node takes them. */

export function taskPath(taskId: string): string {
  return `/v1/tasks/${taskId}`
}

/** `queueJson`: the queue's name as JSON in ASCII. */
export function sendAccepted(
  response: ServerResponse,
  taskId: string,
  queueJson: string,
  acceptedAtMs: number,
  extra: readonly string[],
): void {
  const path = taskPath(taskId)
  // Put together by hand: this is the answer of the hot path, and nothing in it needs escaping.
  const body = `{"id":"${taskId}","queue":${queueJson},"state":"pending","acceptedAt":"${isoTime(acceptedAtMs)}","links":{"self":"${path}","result":"${path}/result"}}`
  const headers = ['Location', path, 'Retry-After', RETRY_AFTER_S, ...JSON_HEADERS, String(body.length)]
  response.writeHead(202, extra.length === 0 ? headers : headers.concat(extra))
  response.end(body, 'latin1')
}

/** The end of a task for whoever asked for its result: the result's own bytes, or the problem that it ended with. */
export function sendEnded(response: ServerResponse, view: TaskView, extra: readonly string[]): void {
  const about = ['Forebay-Task', view.taskId, 'Forebay-State', view.state, 'Location', taskPath(view.taskId), ...extra]
  if (view.state !== 'succeeded') {
    sendTaskProblem(response, view, about)
    return
  }
  const payload = view.payload ?? EMPTY
  const contentType = view.contentType !== null && isMediaType(view.contentType) ? view.contentType : OCTET_STREAM
  response.writeHead(200, [
    'Content-Type',
    contentType,
    'Content-Length',
    String(payload.length),
    'Cache-Control',
    'no-store',
    ...INERT_HEADERS,
    ...about,
  ])
  // As a string in Latin-1, byte for byte the same, a small body leaves with its headers in one write.
  if (payload.length <= ONE_WRITE_BYTES_MAX) response.end(asBuffer(payload).toString('latin1'), 'latin1')
  else response.end(payload)
}

/** How a task stands, as JSON. */
export function sendTask(response: ServerResponse, read: TaskRead, extra: readonly string[]): void {
  sendJson(response, 200, extra, taskBody(read))
}

export function taskBody({ id, view }: TaskRead): object {
  const path = taskPath(id.id)
  const ended = view !== null && view.finishedAtMs !== null
  return {
    id: id.id,
    queue: view?.queue ?? id.queue,
    state: view?.state ?? 'pending',
    attempts: view?.attempts ?? 0,
    ...(view !== null && view.generation > 0 ? { generation: view.generation } : {}),
    acceptedAt: isoTime(id.acceptedAtMs),
    ...(ended ? { finishedAt: isoTime(view.finishedAtMs!) } : {}),
    ...(view !== null && view.fault !== null ? { problem: taskProblem(view) } : {}),
    links: { self: path, result: `${path}/result` },
  }
}

export function sendJson(response: ServerResponse, status: number, extra: readonly string[], value: object): void {
  const body = Buffer.from(JSON.stringify(value))
  response.writeHead(status, [...extra, ...JSON_HEADERS, String(body.length)])
  response.end(body)
}

/** A date as HTTP writes it; seconds are its smallest unit, so on the hot path many share the text. */
export function httpDate(ms: number): string {
  const second = Math.floor(ms / 1_000)
  if (second !== lastSecond) {
    lastDate = new Date(second * 1_000).toUTCString()
    lastSecond = second
  }
  return lastDate
}

let lastSecond = 0
let lastDate = new Date(0).toUTCString()

const EMPTY = Buffer.alloc(0)
const ONE_WRITE_BYTES_MAX = 8_192
const RETRY_AFTER_S = '1'
const JSON_HEADERS = ['Cache-Control', 'no-store', 'Content-Type', 'application/json', 'Content-Length']
/** A result is whatever a worker wrote; a browser that opens it must not run it under this server's name. */
const INERT_HEADERS = ['X-Content-Type-Options', 'nosniff', 'Content-Security-Policy', "default-src 'none'; sandbox"]

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

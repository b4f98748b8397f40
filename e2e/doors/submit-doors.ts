import { create } from '@bufbuild/protobuf'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import {
  SubmitAndWaitRequestSchema,
  type SubmitAndWaitResponse,
  type SubmitRequest,
  SubmitRequestSchema,
  type SubmitResponse,
  SubmitStreamRequestSchema,
  type SubmitStreamResponse,
  TaskState,
} from '@forebay/protocol'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { WebSocket } from 'ws'
import { type Asked, ask, METHODS, membersOf, type Place } from './place.ts'

export interface Wish {
  readonly queue: string
  readonly key: string | null
  readonly body: string
  readonly idempotencyKey: string
  /** Called with the result, where the wish is for that. */
  readonly callback: string | null
}

/** What a caller was told of its submission. */
export interface Told {
  readonly outcome: 'kept' | 'refused' | 'unknown'
  readonly taskId: string | null
  readonly replayed: boolean
  /** Of the error, or of HTTP where there was none. */
  readonly code: string
  /** The answer, where the door waits for it and it came. */
  readonly answer: string | null
}

export type SubmitDoor = (place: Place, wish: Wish) => Promise<Told>

export const SUBMIT_DOORS: Readonly<Record<string, SubmitDoor>> = {
  POST: (place, wish) => post(place, wish, `/v1/queues/${wish.queue}/tasks`, 0),
  'POST and wait': (place, wish) => post(place, wish, `/v1/queues/${wish.queue}/tasks`, WAIT_S),
  'own route': (place, wish) => post(place, wish, `/errands/${wish.queue}/${wish.key ?? 'none'}`, 0),
  'gRPC Submit': (place, wish) => unary(place, 'Submit', requestOf(wish), toldOfSubmit),
  'gRPC Submit and wait': (place, wish) =>
    unary(place, 'Submit', { ...requestOf(wish), wait: durationFromMs(WAIT_S * 1_000) }, toldOfSubmit),
  'gRPC SubmitAndWait': (place, wish) =>
    unary(place, 'SubmitAndWait', create(SubmitAndWaitRequestSchema, { submit: requestOf(wish) }), toldOfSubmitAndWait),
  'gRPC SubmitStream': submitStream,
  WebSocket: submitByWebSocket,
}

const WAIT_S = 10
const WITHIN_MS = 30_000

async function post(place: Place, wish: Wish, path: string, waitS: number): Promise<Told> {
  const headers: Record<string, string> = { 'content-type': 'text/plain', 'idempotency-key': wish.idempotencyKey }
  if (wish.key !== null) headers['forebay-key'] = wish.key
  if (wish.callback !== null) headers['forebay-callback'] = wish.callback
  if (waitS > 0) headers.prefer = `wait=${waitS}`
  return toldOfHttp(await ask(`${place.url}${path}`, { method: 'POST', body: wish.body, headers }, WITHIN_MS))
}

function toldOfHttp({ status: code, text, headers }: Asked): Told {
  const members = membersOf(text)
  const replayed = headers?.get('idempotent-replayed') === 'true'
  const taskId = headers?.get('forebay-task') ?? members.id ?? members.task ?? null
  if (code === 200) return { outcome: 'kept', taskId, replayed, code: '', answer: text }
  if (code === 202) return { outcome: 'kept', taskId, replayed, code: '', answer: null }
  const named = members.code ?? `HTTP ${code}`
  return { outcome: isRefusal(code, named) ? 'refused' : 'unknown', taskId, replayed, code: named, answer: null }
}

function isRefusal(httpStatus: number, code: string): boolean {
  return (httpStatus >= 400 && httpStatus < 500) || code === 'NOT_ACCEPTED'
}

function requestOf({ queue, key, body, idempotencyKey, callback }: Wish): SubmitRequest {
  return create(SubmitRequestSchema, {
    queue,
    payload: Buffer.from(body),
    contentType: 'text/plain',
    idempotencyKey,
    ...(key === null ? {} : { key }),
    ...(callback === null ? {} : { callback }),
  })
}

function unary<Response>(
  place: Place,
  method: string,
  request: object,
  toldOf: (response: Response) => Told,
): Promise<Told> {
  const { path, requestSerialize, responseDeserialize } = METHODS[method]!
  return new Promise((resolve) => {
    place.grpc.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + WITHIN_MS },
      (error, response) => resolve(error === null ? toldOf(response as Response) : toldOfError(error)),
    )
  })
}

function toldOfSubmit({ task, result, replayed }: SubmitResponse): Told {
  const ended = result?.state === TaskState.SUCCEEDED
  const answer = ended ? Buffer.from(result.payload).toString() : null
  return { outcome: 'kept', taskId: task!.id, replayed, code: '', answer }
}

function toldOfSubmitAndWait({ task, result, replayed }: SubmitAndWaitResponse): Told {
  return { outcome: 'kept', taskId: task!.id, replayed, code: '', answer: Buffer.from(result!.payload).toString() }
}

function toldOfError(error: ServiceError): Told {
  const [named] = error.metadata?.get('forebay-error') ?? []
  const [task] = error.metadata?.get('forebay-task') ?? []
  const code = named === undefined ? `gRPC ${status[error.code]}` : String(named)
  const taskId = task === undefined ? null : String(task)
  // It is kept, and has not ended within the call's time.
  if (code === 'RESULT_NOT_READY') return { outcome: 'kept', taskId, replayed: false, code, answer: null }
  const refused = code === 'NOT_ACCEPTED' || (named !== undefined && REFUSALS.has(error.code))
  return { outcome: refused ? 'refused' : 'unknown', taskId, replayed: false, code, answer: null }
}

const REFUSALS: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.RESOURCE_EXHAUSTED,
  status.NOT_FOUND,
  status.ABORTED,
])

function submitStream(place: Place, wish: Wish): Promise<Told> {
  const { path, requestSerialize, responseDeserialize } = METHODS.SubmitStream!
  return new Promise((resolve) => {
    const stream = place.grpc.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata(), {
      deadline: Date.now() + WITHIN_MS,
    })
    let told: Told | null = null
    stream.on('data', ({ answer }: SubmitStreamResponse) => {
      if (answer.case === 'submitted') told = toldOfSubmit(answer.value)
      else if (answer.case === 'problem') {
        const { code, task } = answer.value
        const outcome = code === 'OUTCOME_UNKNOWN' || code === 'INTERNAL' ? 'unknown' : 'refused'
        told = { outcome, taskId: task === '' ? null : task, replayed: false, code, answer: null }
      }
    })
    stream.on('error', (error: ServiceError) => {
      told ??= toldOfError(error)
    })
    stream.on('status', () => resolve(told ?? unanswered('no answer')))
    stream.write(create(SubmitStreamRequestSchema, { sequence: 1n, submit: requestOf(wish) }))
    stream.end()
  })
}

function submitByWebSocket(place: Place, wish: Wish): Promise<Told> {
  const socket = new WebSocket(`${place.url.replace('http', 'ws')}/v1/stream`, ['forebay.v1'])
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.terminate(), WITHIN_MS)
    const end = (told: Told) => {
      resolve(told)
      socket.close()
    }
    socket.on('open', () => {
      const { queue, key, body, idempotencyKey, callback } = wish
      const asked = { op: 'submit', ref: '1', queue, text: body, contentType: 'text/plain', idempotencyKey }
      socket.send(
        JSON.stringify({ ...asked, ...(key === null ? {} : { key }), ...(callback === null ? {} : { callback }) }),
      )
    })
    socket.on('message', (data) => {
      const said = JSON.parse(String(data)) as WebSocketAnswer
      if (said.event === 'accepted') {
        end({ outcome: 'kept', taskId: said.id!, replayed: said.replayed === true, code: '', answer: null })
      } else if (said.event === 'problem') {
        const { code, task = null } = said.problem!
        const outcome = code === 'OUTCOME_UNKNOWN' || code === 'INTERNAL' ? 'unknown' : 'refused'
        end({ outcome, taskId: task, replayed: false, code, answer: null })
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(unanswered('socket closed'))
    })
  })
}

interface WebSocketAnswer {
  readonly event: string
  readonly id?: string
  readonly replayed?: boolean
  readonly problem?: { readonly code: string; readonly task?: string }
}

function unanswered(code: string): Told {
  return { outcome: 'unknown', taskId: null, replayed: false, code, answer: null }
}

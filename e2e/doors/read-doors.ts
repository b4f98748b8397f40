import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import {
  GetRequestSchema,
  type GetResponse,
  type Result,
  TaskState,
  WatchRequestSchema,
  type WatchResponse,
} from '@forebay/protocol'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { WebSocket } from 'ws'
import { ask, METHODS, membersOf, type Place } from './place.ts'

/** What a reader saw of a task in the end, and on the way there. */
export interface Seen {
  readonly state: string
  /** The answer; of an end that is no success: code and detail. */
  readonly answer: string
  /** Texts of chunks of the run that counted, in order; null at doors that show none. */
  readonly chunks: readonly string[] | null
  /** What went wrong on the way, by code; each was followed by another try. */
  readonly troubles: readonly string[]
}

/** Asks, again after each trouble, until the task has ended. Throws when it has not within `READ_WITHIN_MS`. */
export type ReadDoor = (place: Place, taskId: string) => Promise<Seen>

export const READ_DOORS: Readonly<Record<string, ReadDoor>> = {
  'GET result': pollResult,
  'GET task, then result': pollTask,
  SSE: followBySse,
  'gRPC Get': pollByGrpc,
  'gRPC Watch': followByGrpc,
  'WebSocket watch': followByWebSocket,
}

export const READ_WITHIN_MS = 120_000
const PAUSE_MS = 100

class Reading {
  readonly troubles: string[] = []
  readonly #taskId: string
  readonly #giveUpAt = performance.now() + READ_WITHIN_MS

  constructor(taskId: string) {
    this.#taskId = taskId
  }

  async again(trouble: string | null): Promise<void> {
    if (trouble !== null) this.troubles.push(trouble)
    if (performance.now() > this.#giveUpAt) {
      throw new Error(
        `${this.#taskId} has not ended within ${READ_WITHIN_MS} ms: ${this.troubles.slice(-5).join(', ')}`,
      )
    }
    if (trouble !== null) await sleep(PAUSE_MS)
  }
}

async function pollResult({ url }: Place, taskId: string): Promise<Seen> {
  const reading = new Reading(taskId)
  for (;;) {
    const { status: code, text } = await ask(`${url}/v1/tasks/${taskId}/result`, { headers: { prefer: 'wait=10' } })
    if (code === 200) return { state: 'succeeded', answer: text, chunks: null, troubles: reading.troubles }
    const members = membersOf(text)
    if (members.state !== undefined && ENDED.has(members.state)) {
      return {
        state: members.state,
        answer: `${members.code} ${members.detail}`,
        chunks: null,
        troubles: reading.troubles,
      }
    }
    await reading.again(members.code === 'RESULT_NOT_READY' ? null : (members.code ?? `HTTP ${code}`))
  }
}

async function pollTask(place: Place, taskId: string): Promise<Seen> {
  const reading = new Reading(taskId)
  for (;;) {
    const { status: code, text } = await ask(`${place.url}/v1/tasks/${taskId}`, { headers: { prefer: 'wait=10' } })
    const members = membersOf(text)
    if (code === 200 && ENDED.has(members.state ?? '')) {
      const seen = await pollResult(place, taskId)
      return { ...seen, troubles: [...reading.troubles, ...seen.troubles] }
    }
    await reading.again(code === 200 ? null : (members.code ?? `HTTP ${code}`))
  }
}

async function pollByGrpc({ grpc }: Place, taskId: string): Promise<Seen> {
  const reading = new Reading(taskId)
  const { path, requestSerialize, responseDeserialize } = METHODS.Get!
  const request = create(GetRequestSchema, { id: taskId, wait: durationFromMs(10_000) })
  for (;;) {
    const asked = await new Promise<GetResponse | ServiceError>((resolve) => {
      const options = { deadline: Date.now() + 30_000 }
      grpc.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        options,
        (error, response) => resolve(error ?? (response as GetResponse)),
      )
    })
    if (asked instanceof Error) await reading.again(codeOf(asked))
    else if (asked.result === undefined) await reading.again(null)
    else return { ...seenOf(asked.result), chunks: null, troubles: reading.troubles }
  }
}

/** What streams have in common: positions to resume from, and chunks that a restart makes void. */
class Following extends Reading {
  position = ''
  chunks: string[] = []

  chunk(number: number, text: string): void {
    if (number !== this.chunks.length + 1) throw new Error(`chunk ${number} came after ${this.chunks.length}`)
    this.chunks.push(text)
  }

  restart(): void {
    this.chunks = []
  }
}

async function followBySse({ url }: Place, taskId: string): Promise<Seen> {
  const following = new Following(taskId)
  for (;;) {
    const trouble = await followOnce()
    if (typeof trouble !== 'string') return trouble
    await following.again(trouble)
  }

  async function followOnce(): Promise<Seen | string> {
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' }
      if (following.position !== '') headers['last-event-id'] = following.position
      const signal = AbortSignal.timeout(READ_WITHIN_MS)
      const answer = await fetch(`${url}/v1/tasks/${taskId}/events`, { headers, signal })
      if (answer.status !== 200) return membersOf(await answer.text()).code ?? `HTTP ${answer.status}`
      let event = { name: '', id: '', data: '' }
      for await (const line of linesOf(answer.body!)) {
        if (line === '') {
          const seen = take(event)
          if (seen !== null) return seen
          event = { name: '', id: '', data: '' }
        } else if (line.startsWith('event:')) event.name = line.slice(6).trim()
        else if (line.startsWith('id:')) event.id = line.slice(3).trim()
        else if (line.startsWith('data:')) event.data += line.slice(5).trim()
      }
      return 'stream ended'
    } catch (thrown) {
      if (thrown instanceof Error && thrown.message.startsWith('chunk ')) throw thrown
      return 'stream broken'
    }
  }

  function take({ name, id, data }: { name: string; id: string; data: string }): Seen | null {
    if (id !== '') following.position = id
    const said = data === '' ? {} : (JSON.parse(data) as SseData)
    if (name === 'chunk') following.chunk(said.chunk!, said.text!)
    if (name === 'restart') following.restart()
    if (name !== 'result') return null
    const { chunks, troubles } = following
    if (said.state === 'succeeded') return { state: said.state, answer: said.result!.text!, chunks, troubles }
    return { state: said.state!, answer: `${said.problem?.code} ${said.problem?.detail}`, chunks, troubles }
  }
}

interface SseData {
  readonly chunk?: number
  readonly text?: string
  readonly state?: string
  readonly result?: { readonly text?: string }
  readonly problem?: { readonly code?: string; readonly detail?: string }
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop()!
    yield* lines
  }
}

async function followByGrpc({ grpc }: Place, taskId: string): Promise<Seen> {
  const following = new Following(taskId)
  const { path, requestSerialize, responseDeserialize } = METHODS.Watch!
  for (;;) {
    const request = create(WatchRequestSchema, { id: taskId, after: following.position })
    const stream = grpc.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
    let trouble = 'stream ended'
    stream.on('error', (error: ServiceError) => {
      trouble = codeOf(error)
    })
    const seen = await new Promise<Seen | Error | null>((resolve) => {
      let ended: Seen | null = null
      stream.on('data', ({ position, event }: WatchResponse) => {
        if (position !== '') following.position = position
        try {
          if (event.case === 'chunk') following.chunk(event.value.number, Buffer.from(event.value.payload).toString())
        } catch (thrown) {
          resolve(thrown as Error)
          stream.cancel()
        }
        if (event.case === 'restart') following.restart()
        if (event.case === 'end') {
          ended = { ...seenOf(event.value.result!), chunks: following.chunks, troubles: following.troubles }
        }
      })
      stream.on('status', () => resolve(ended))
    })
    if (seen instanceof Error) throw seen
    if (seen !== null) return seen
    await following.again(trouble)
  }
}

async function followByWebSocket({ url }: Place, taskId: string): Promise<Seen> {
  const following = new Following(taskId)
  for (;;) {
    const seen = await followOnce()
    if (seen instanceof Error) throw seen
    if (typeof seen !== 'string') return seen
    await following.again(seen)
  }

  function followOnce(): Promise<Seen | Error | string> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`, ['forebay.v1'])
    return new Promise((resolve) => {
      const end = (seen: Seen | Error | string) => {
        resolve(seen)
        socket.close()
      }
      socket.on('open', () => {
        const after = following.position === '' ? {} : { after: following.position }
        socket.send(JSON.stringify({ op: 'watch', ref: '1', id: taskId, ...after }))
      })
      socket.on('message', (data) => {
        const said = JSON.parse(String(data)) as SseData & {
          event: string
          position?: string
          problem?: { code: string }
        }
        if (said.position !== undefined) following.position = said.position
        try {
          if (said.event === 'chunk') following.chunk(said.chunk!, said.text!)
        } catch (thrown) {
          end(thrown as Error)
        }
        if (said.event === 'restart') following.restart()
        if (said.event === 'problem') end(said.problem!.code)
        if (said.event === 'result') {
          const { chunks, troubles } = following
          const answer =
            said.state === 'succeeded' ? said.result!.text! : `${said.problem?.code} ${said.problem?.detail}`
          end({ state: said.state!, answer, chunks, troubles })
        }
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve('socket closed'))
    })
  }
}

function seenOf({ state, payload, problem }: Result): Pick<Seen, 'state' | 'answer'> {
  if (state === TaskState.SUCCEEDED) return { state: 'succeeded', answer: Buffer.from(payload).toString() }
  return { state: STATES[state] ?? 'unspecified', answer: `${problem?.code} ${problem?.detail}` }
}

function codeOf(error: ServiceError): string {
  const [named] = error.metadata?.get('forebay-error') ?? []
  return named === undefined ? `gRPC ${status[error.code]}` : String(named)
}

const STATES: Readonly<Partial<Record<TaskState, string>>> = {
  [TaskState.FAILED]: 'failed',
  [TaskState.DEAD]: 'dead',
  [TaskState.CANCELLED]: 'cancelled',
  [TaskState.EXPIRED]: 'expired',
}
const ENDED: ReadonlySet<string> = new Set(['succeeded', 'failed', 'dead', 'cancelled', 'expired'])

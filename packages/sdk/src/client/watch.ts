import { backoffMs } from '@forebay/broker'
import { RequestError, RestartedError, TaskFailedError } from './errors.ts'
import type { Exchange, OpenAnswer } from './exchange.ts'
import type { ResolvedClientOptions } from './options.ts'
import { type SseFrame, SseFrames } from './sse-frames.ts'
import { badEnd, type ChunkEvent, type TaskEvent, taskEvent } from './watch-events.ts'

export interface WatchOptions {
  /** The `position` of the last event seen: goes on after it. Default: from the beginning. */
  readonly after?: string
  readonly signal?: AbortSignal
}

/**
 * Follows a task to its end, over as many connections and gateways as that takes: a stream that breaks, falls silent or is
 * ended by a gateway that stops is taken up again where it was. Nothing comes twice, and nothing is missing.
 */
export async function* watchTask<Output>(
  exchange: Exchange,
  options: ResolvedClientOptions,
  id: string,
  { after = '', signal }: WatchOptions,
): AsyncGenerator<TaskEvent<Output>, void, undefined> {
  const { clock, random, retry } = options
  let position = after
  let retryMs = RETRY_MS_DEFAULT
  let failures = 0
  let aliveAtMs = clock.monotonicMs()
  for (;;) {
    let failure: RequestError | null = null
    let stream: OpenAnswer | null = null
    try {
      stream = await open(exchange, options, id, position, signal)
      if (stream === null) return
      for await (const frame of framesOf(stream, options)) {
        failures = 0
        aliveAtMs = clock.monotonicMs()
        retryMs = frame.retryMs ?? retryMs
        position = frame.id ?? position
        const event = frame.data === null ? null : taskEvent<Output>(id, frame, position)
        if (event !== null) yield event
        if (event?.kind === 'end') return
      }
    } catch (thrown) {
      if (!(thrown instanceof RequestError) || !thrown.isRetryable) throw thrown
      failure = thrown
    } finally {
      stream?.close()
    }
    if (stream !== null) exchange.turnAway()
    const pauseMs = (failure?.retryAfterMs ?? random.unit() * retryMs) + backoffMs(ASK_AGAIN, failures, random)
    failures++
    if (clock.monotonicMs() + pauseMs > aliveAtMs + retry.withinMs) throw failure ?? lost(id)
    await clock.sleep(pauseMs, signal)
  }
}

/** The chunks of one attempt from the first to the last. */
export async function* chunksOf<Output>(
  id: string,
  events: AsyncIterable<TaskEvent<Output>>,
): AsyncGenerator<ChunkEvent, void, undefined> {
  let given = 0
  for await (const event of events) {
    if (event.kind === 'restart' && given > 0) throw new RestartedError(id, event.attempt)
    if (event.kind === 'chunk') {
      given++
      yield event
    }
    const bad = event.kind === 'end' ? badEnd(event.status) : null
    if (bad !== null) throw new TaskFailedError(id, bad.state, bad.problem)
  }
}

/** Null when `position` is the end of the task. */
async function open(
  exchange: Exchange,
  { timeoutMs }: ResolvedClientOptions,
  id: string,
  position: string,
  signal: AbortSignal | undefined,
): Promise<OpenAnswer | null> {
  const path = `/v1/tasks/${encodeURIComponent(id)}/events`
  const headers = { accept: 'text/event-stream', ...(position === '' ? {} : { 'last-event-id': position }) }
  const answer = await exchange.open({ method: 'GET', path, headers, timeoutMs, signal })
  if (answer.status === 204) {
    answer.close()
    return null
  }
  if (answer.headers.get('content-type')?.startsWith('text/event-stream')) return answer
  answer.close()
  const message = `Answered ${answer.status} with something that is not a gateway's stream of events.`
  throw new RequestError('UNEXPECTED_ANSWER', message, { status: answer.status, isRetryable: false })
}

/** Ends as the stream ends, however that is, or when it is silent for longer than a gateway's heartbeats allow. */
async function* framesOf(stream: OpenAnswer, { clock }: ResolvedClientOptions): AsyncGenerator<SseFrame> {
  const frames = new SseFrames()
  for (;;) {
    // Only while we listen: who takes long with an event is not the gateway.
    const timer = clock.timer(SILENCE_MS_MAX, stream.close)
    const bytes = await stream.read().finally(() => timer.cancel())
    if (bytes === null) return
    yield* take(frames, bytes)
  }
}

function take(frames: SseFrames, bytes: Uint8Array): SseFrame[] {
  try {
    return frames.push(bytes)
  } catch (cause) {
    const message = 'The stream holds an event longer than any of a gateway.'
    throw new RequestError('UNEXPECTED_ANSWER', message, { isRetryable: false, cause })
  }
}

function lost(id: string): RequestError {
  const message = `The stream of task ${id} breaks off again and again; the task goes on.`
  return new RequestError('UNREACHABLE', message, { isRetryable: true })
}

/** Three heartbeats of a gateway. */
const SILENCE_MS_MAX = 45_000
const RETRY_MS_DEFAULT = 1_000
const ASK_AGAIN = { firstMs: 50, maxMs: 5_000 }

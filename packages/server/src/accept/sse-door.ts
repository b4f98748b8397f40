import type { IncomingMessage } from 'node:http'
import type { Clock, Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Call } from './http-call.ts'
import type { Authenticate } from './principal.ts'
import { retryLine, SseWords } from './sse-events.ts'
import { SsePulse } from './sse-pulse.ts'
import { type SseCommon, SseStream } from './sse-stream.ts'
import { type OpenWatch, type Position, readPosition } from './watching.ts'

/** GET /v1/tasks/{id}/events: follows one task by Server-Sent Events. */
export interface SseDoor {
  /** Also answers HEAD, without a stream. */
  handle(call: Call): Promise<void>
  /** Sends all readers away, and waits for none. */
  stop(): void
}

export interface SseDoorParts {
  readonly authenticate: Authenticate
  readonly openWatch: OpenWatch
  readonly clock: Clock
  readonly random: Random
}

/** How long a reader whose stream broke waits before it comes back. ms */
export const SSE_RETRY_MS = 1_000
/** The same for readers who are all sent away at once: spread evenly up to this. ms */
export const SSE_RETRY_AFTER_STOP_MAX_MS = 2_000

export function createSseDoor({ authenticate, openWatch, clock, random }: SseDoorParts): SseDoor {
  const pulse = new SsePulse(clock)
  const common: SseCommon = {
    words: new SseWords(),
    pulse,
    retryMs: () => Math.round(SSE_RETRY_MS / 2 + random.unit() * (SSE_RETRY_AFTER_STOP_MAX_MS - SSE_RETRY_MS / 2)),
  }
  return {
    async handle({ request, response, fields, parameters }) {
      const principal = authenticate(fields.authorization)
      refuseOtherTypes(headerOf(request, 'accept'))
      const { id, watch } = await openWatch(parameters.id!, principal, positionOf(request))
      if (watch === null) {
        response.writeHead(204, NO_STORE).end()
        return
      }
      if (response.destroyed || request.method === 'HEAD') {
        watch.stop()
        response.writeHead(200, STREAM_HEADERS).end()
        return
      }
      response.writeHead(200, STREAM_HEADERS)
      response.write(FIRST_LINE)
      new SseStream(common, response, id, watch)
    },

    stop() {
      for (const stream of [...pulse.all()]) (stream as SseStream).end()
    },
  }
}

const NO_STORE = ['Cache-Control', 'no-store']
const STREAM_HEADERS = ['Content-Type', 'text/event-stream; charset=utf-8', ...NO_STORE, 'X-Accel-Buffering', 'no']
const FIRST_LINE = retryLine(SSE_RETRY_MS)

/** The header goes before the query: it is where a reader stands who began with the query's. */
function positionOf(request: IncomingMessage): Position {
  const header = headerOf(request, 'last-event-id')
  if (header !== undefined) return checked('Last-Event-ID', header)
  const query = request.url!.indexOf('?')
  const asked = query < 0 ? null : new URLSearchParams(request.url!.slice(query + 1)).get('lastEventId')
  return checked('lastEventId', asked ?? '')
}

function checked(name: string, value: string): Position {
  const position = readPosition(value)
  if (position !== null) return position
  const shown = value.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
  throw new ForebayError(
    'BAD_HEADER',
    `${name} ${JSON.stringify(shown)} is no id of an event of ours; send the last one you were given, or none to begin anew.`,
    { members: { header: name, value: shown } },
  )
}

/** Not by `request.headers`, which would be kept as long as the stream. */
function headerOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  let found: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.toLowerCase() !== name) continue
    found = found === undefined ? rawHeaders[at + 1]! : `${found}, ${rawHeaders[at + 1]!}`
  }
  return found
}

/** The most specific range that covers us decides, as RFC 9110 has it. */
function refuseOtherTypes(accept: string | undefined): void {
  if (accept === undefined) return
  let specificity = 0
  let quality = 0
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const covers = RANGES.indexOf(type) + 1
    if (covers <= specificity) continue
    specificity = covers
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    quality = weight === undefined ? 1 : Number(weight.slice(2))
  }
  if (quality > 0 || accept.trim() === '') return
  throw new ForebayError('NOT_ACCEPTABLE', 'This address answers with text/event-stream only; Accept excludes it.', {
    members: { header: 'Accept' },
  })
}

const RANGES = ['*/*', 'text/*', 'text/event-stream']

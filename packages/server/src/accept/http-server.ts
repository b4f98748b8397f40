import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ErrorCode, ForebayError, toForebayError, toProblem } from '@forebay/protocol'
import { hintsFor, PROBLEM_JSON, sendProblem } from './problem.ts'
import { HEADERS_MAX, type RequestFields, readRequest } from './request-fields.ts'

/** A request that has been looked over; routes find its fields here. */
export interface ReadRequest extends IncomingMessage {
  [FIELDS]?: RequestFields
}
export const FIELDS = Symbol('fields')

/** From connection, or the request before, to the end of the headers. ms */
export const HEADERS_TIMEOUT_MS = 15_000
/** From the first byte to the end of the body. ms */
export const REQUEST_TIMEOUT_MS = 60_000
/** Longer than nginx keeps its connections to us (60 s), so that it, not we, ends them. ms */
export const KEEP_ALIVE_TIMEOUT_MS = 75_000
/** How often the three above are looked at. ms */
const TIMEOUTS_CHECK_MS = 5_000
const HEADER_BYTES_MAX = 16_384

export interface HttpServerParts {
  readonly stopping: () => boolean
  readonly refused: (code: ErrorCode) => void
  /** Takes over the connection of a request that wants to go on as a WebSocket. Default: it is a request like any other. */
  readonly upgrade?: (request: IncomingMessage, fields: RequestFields, socket: Duplex, head: Buffer) => void
}

/** Node's server with our limits; what is malformed never gets as far as `listener`. */
export function createHttpServer(listener: RequestListener, { stopping, refused, upgrade }: HttpServerParts): Server {
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUTS_CHECK_MS,
    noDelay: true,
    // Ours to refuse, with a problem.
    requireHostHeader: false,
    // Whoever offers something else (h2c, as Java's client does with each request) is answered in HTTP/1.1.
    shouldUpgradeCallback: ({ headers }) => upgrade !== undefined && headers.upgrade?.toLowerCase() === 'websocket',
  })
  // One more than allowed: Node drops the rest without a word, and we want to see that there is a rest.
  server.maxHeadersCount = HEADERS_MAX + 1
  server.on('request', receive)
  // `100 Continue` is sent when the body is wanted, by whoever reads it.
  server.on('checkContinue', receive)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    try {
      upgrade!(request, readRequest(request), socket, head)
    } catch (thrown) {
      const error = toForebayError(thrown)
      refused(error.code)
      refuseOnSocket(socket, error)
    }
  })
  return server

  function receive(request: ReadRequest, response: ServerResponse): void {
    if (stopping()) response.setHeader('Connection', 'close')
    try {
      if (!METHODS.has(request.method!)) {
        refuseMethod(request, response)
        return
      }
      request[FIELDS] = readRequest(request)
    } catch (thrown) {
      const error = toForebayError(thrown)
      refused(error.code)
      sendProblem(response, error, CLOSE)
      return
    }
    listener(request, response)
  }

  function refuseMethod(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === 'OPTIONS' && request.url === '*') {
      response.writeHead(204, ALLOW).end()
      return
    }
    refused('METHOD_NOT_ALLOWED')
    sendProblem(response, methodNotAllowed(), [...ALLOW, ...CLOSE])
  }
}

/** For what could not be read at all, so that there is no response object; what is written here ends the connection. */
export function clientErrorAnswer(refused: HttpServerParts['refused']) {
  return (thrown: Error & { code?: string }, socket: AnsweringSocket): void => {
    const answering = socket._httpMessage
    // An answer written now would pass for the one that a request before this is still waiting for.
    const mistakable = answering != null && (answering.req.complete || answering.headersSent)
    if (thrown.code === 'ECONNRESET' || !socket.writable || mistakable) {
      socket.destroy()
      return
    }
    const error = clientErrorOf(thrown.code)
    refused(error.code)
    refuseOnSocket(socket, error)
  }
}

/** An answer without a response object, the last one of its connection. `extra`: headers, `Connection` among them or none. */
export function refuseOnSocket(socket: Duplex, error: ForebayError, extra: readonly string[] = CLOSE): void {
  const problem = toProblem(error)
  const body = JSON.stringify(problem)
  const headers = [
    'Content-Type',
    PROBLEM_JSON,
    'Content-Length',
    Buffer.byteLength(body),
    ...hintsFor(error),
    ...extra,
  ]
  let head = `HTTP/1.1 ${problem.status} ${problem.title}\r\n`
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`
  socket.end(`${head}\r\n${body}`, () => socket.destroy())
}

/** Node keeps the response in turn at its socket, under a name that is not documented. */
interface AnsweringSocket extends Socket {
  _httpMessage?: ServerResponse | null
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])
const ALLOW = ['Allow', 'GET, HEAD, POST, PUT, DELETE']
const CLOSE = ['Connection', 'close']

export function methodNotAllowed(): ForebayError {
  return new ForebayError('METHOD_NOT_ALLOWED', 'This address has no such method; the header Allow says which it has.')
}

function clientErrorOf(code: string | undefined): ForebayError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new ForebayError('HEADERS_TOO_LARGE', `Request line and headers have more than ${HEADER_BYTES_MAX} bytes.`)
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new ForebayError('REQUEST_TIMEOUT', 'The request came too slowly.')
  return new ForebayError('BAD_REQUEST', 'This is not a well-formed HTTP/1.1 request.')
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createGunzip } from 'node:zlib'
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import type { Clock } from '@forebay/broker'
import { ERRORS, ForebayError } from '@forebay/protocol'
import type { Redaction } from '../decode/redaction.ts'
import type { Intake } from '../intake.ts'
import type { EdgeMeters } from '../meters.ts'
import { OtlpMalformed } from '../otlp/otlp-record.ts'
import { otlpRows } from '../otlp/otlp-rows.ts'
import { readOtlpJson } from '../otlp/read-json.ts'
import { readOtlpProtobuf } from '../otlp/read-protobuf.ts'
import { BATCH_BYTES_MAX, badHeader } from './logs-route.ts'
import type { BodyRoom } from './read-body.ts'

export interface OtlpRouteParts {
  readonly intake: Intake
  readonly redaction: Redaction
  readonly clock: Clock
  readonly meters: EdgeMeters
  readonly bodies: BodyRoom
}

/** Where OTLP exporters send logs, by its specification. */
export const OTLP_LOGS_PATH = '/v1/logs'

/**
 * POST /v1/logs, OTLP/HTTP as protobuf or JSON, plain or gzip. Answered 200 when every record is on the disk; what could not be
 * read is kept as it came, and `partialSuccess` says so with nothing rejected. 503 and 429 mean: nothing was kept, ask again.
 */
export async function takeOtlp(
  { intake, redaction, clock, meters, bodies }: OtlpRouteParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const wire = wireOf(request)
  await unpacked(bodies, request, async (body) => {
    const { values, records, odd } = readRows(() =>
      otlpRows(wire === 'json' ? readOtlpJson(body) : readOtlpProtobuf(body), redaction, clock),
    )
    if (values.length > 0 && !(await intake.takeRows(values, odd, true))) {
      meters.refused()
      const message = 'The spool of this collector is full; nothing was kept.'
      throw new ForebayError('NOT_ACCEPTED', message, { retryAfterS: 5 })
    }
    const warning =
      odd === 0 ? '' : `${odd} of ${records} log records could not be read as rows; they are kept as they came.`
    send(response, 200, wire, wire === 'json' ? answerJson(warning) : answerProtobuf(warning))
  })
}

/** Errors as OTLP has them: a google.rpc.Status in the form of the request. */
export function answerOtlpError(request: IncomingMessage, response: ServerResponse, error: ForebayError): void {
  if (error.retryAfterS !== undefined) response.setHeader('retry-after', error.retryAfterS)
  const { http, grpc } = ERRORS[error.code]
  const code = GRPC_CODES.indexOf(grpc)
  const message = `${error.code}: ${error.message}`
  const isJson = /^application\/json/i.test(request.headers['content-type'] ?? '')
  const body = isJson
    ? Buffer.from(JSON.stringify({ code, message }))
    : Buffer.from(new BinaryWriter().tag(1, 0).int32(code).tag(2, 2).string(message).finish())
  send(response, http, isJson ? 'json' : 'protobuf', body)
}

type Wire = 'protobuf' | 'json'

function wireOf({ headers }: IncomingMessage): Wire {
  const type = (headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type === 'application/x-protobuf') return 'protobuf'
  if (type === 'application/json') return 'json'
  throw badHeader('Content-Type', type, 'Send application/x-protobuf or application/json.')
}

async function unpacked(
  bodies: BodyRoom,
  request: IncomingMessage,
  use: (body: Buffer) => Promise<void>,
): Promise<void> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity') return bodies.read(request, BATCH_BYTES_MAX, use)
  if (encoding !== 'gzip') {
    throw badHeader('Content-Encoding', encoding, 'Send gzip or none.')
  }
  await bodies.read(request, BATCH_BYTES_MAX, async (packed) => {
    const gunzip = createGunzip()
    gunzip.end(packed)
    await bodies.collect(readable(gunzip), BATCH_BYTES_MAX, use)
  })
}

async function* readable(gunzip: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* gunzip
  } catch (cause) {
    throw new ForebayError('BAD_REQUEST', 'The body is no gzip.', { cause })
  }
}

function readRows<Rows>(read: () => Rows): Rows {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof OtlpMalformed) throw new ForebayError('BAD_REQUEST', thrown.message, { cause: thrown })
    throw thrown
  }
}

/** ExportLogsServiceResponse; empty when there is nothing to say. */
function answerProtobuf(warning: string): Buffer {
  if (warning === '') return Buffer.alloc(0)
  const partial = new BinaryWriter().tag(2, 2).string(warning).finish()
  return Buffer.from(new BinaryWriter().tag(1, 2).bytes(partial).finish())
}

function answerJson(warning: string): Buffer {
  return Buffer.from(warning === '' ? '{}' : JSON.stringify({ partialSuccess: { errorMessage: warning } }))
}

function send(response: ServerResponse, status: number, wire: Wire, body: Buffer): void {
  const type = wire === 'json' ? 'application/json' : 'application/x-protobuf'
  response.writeHead(status, { 'content-type': type, 'content-length': body.length })
  response.end(body)
}

/** By number: google.rpc.Code. */
const GRPC_CODES: readonly string[] = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
  ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
]

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { ERRORS, type ForebayError, type TaskProblem } from '@forebay/protocol'
import { Metadata, type StatusObject, status } from '@grpc/grpc-js'
import { cutText } from '../execute/cut-text.ts'

/**
 * An error as the status of a call: code and message by the table of errors, in metadata `forebay-error` its code and the task it
 * is about, and in `grpc-status-details-bin` all of it as a google.rpc.Status. A call that is not to be made again as it
 * was passes `retry: false`, whatever the table says.
 */
export function statusOf(error: ForebayError, other: { code?: status; retry?: boolean } = {}): StatusObject {
  const code = other.code ?? status[ERRORS[error.code].grpc]
  const details = cutText(error.message, MESSAGE_BYTES_MAX)
  const metadata = new Metadata()
  metadata.set('forebay-error', error.code)
  const { task, state } = error.members
  if (typeof task === 'string') metadata.set('forebay-task', task)
  if (typeof state === 'string') metadata.set('forebay-state', state)
  metadata.set(STATUS_DETAILS, statusDetails(error, code, details, other.retry ?? ERRORS[error.code].retry))
  return { code, details, metadata }
}

/** An error whose status is not the table's. */
export class CallStatus extends Error {
  readonly error: ForebayError
  readonly status: StatusObject

  constructor(error: ForebayError, status: StatusObject) {
    super(error.message, { cause: error })
    this.name = 'CallStatus'
    this.error = error
    this.status = status
  }
}

/** The same error where it is no status but part of an answer. */
export function problemOf(error: ForebayError): Omit<TaskProblem, '$typeName' | '$unknown'> {
  const { task } = error.members
  return {
    code: error.code,
    detail: error.message.toWellFormed(),
    retryable: ERRORS[error.code].retry,
    task: typeof task === 'string' ? task : '',
  }
}

/**
 * Written by hand: five small messages that everybody who reads them has from elsewhere are not worth generated code.
 * google.rpc.Status{code=1, message=2, details=3} of google.protobuf.Any{type_url=1, value=2}.
 */
function statusDetails(error: ForebayError, code: status, message: string, retry: boolean): Buffer {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int32(code)
  writer.tag(2, WireType.LengthDelimited).string(message)
  addDetail(writer, 'ErrorInfo', (detail) => writeErrorInfo(detail, error))
  const retryAfterS = error.retryAfterS ?? RETRY_AFTER_S
  if (retry) addDetail(writer, 'RetryInfo', (detail) => writeRetryInfo(detail, retryAfterS))
  const violations = violationsOf(error, message)
  if (violations.length > 0) addDetail(writer, 'BadRequest', (detail) => writeBadRequest(detail, violations))
  return Buffer.from(writer.finish())
}

function addDetail(writer: BinaryWriter, name: string, write: (detail: BinaryWriter) => void): void {
  writer.tag(3, WireType.LengthDelimited).fork()
  writer.tag(1, WireType.LengthDelimited).string(`type.googleapis.com/google.rpc.${name}`)
  writer.tag(2, WireType.LengthDelimited).fork()
  write(writer)
  writer.join().join()
}

/** ErrorInfo{reason=1, domain=2, metadata=3: a map, whose entries have key=1, value=2}. */
function writeErrorInfo(writer: BinaryWriter, error: ForebayError): void {
  writer.tag(1, WireType.LengthDelimited).string(error.code)
  writer.tag(2, WireType.LengthDelimited).string('forebay')
  for (const [name, value] of Object.entries(error.members)) {
    // Faults have a detail of their own, one for each.
    if (typeof value === 'object') continue
    writer.tag(3, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(name)
    writer.tag(2, WireType.LengthDelimited).string(cutText(String(value), MEMBER_BYTES_MAX))
    writer.join()
  }
}

/** RetryInfo{retry_delay=1: google.protobuf.Duration{seconds=1, nanos=2}}. */
function writeRetryInfo(writer: BinaryWriter, retryAfterS: number): void {
  const ms = Math.max(0, Math.ceil(retryAfterS * 1_000))
  writer.tag(1, WireType.LengthDelimited).fork()
  writer.tag(1, WireType.Varint).int64(Math.floor(ms / 1_000))
  writer.tag(2, WireType.Varint).int32((ms % 1_000) * 1_000_000)
  writer.join()
}

interface Violation {
  readonly field: string
  readonly description: string
}

/** A field of the request or a name of its metadata; of a body that meets no schema each fault. */
function violationsOf({ members }: ForebayError, message: string): readonly Violation[] {
  const { field, header, faults } = members
  if (Array.isArray(faults)) {
    return faults.slice(0, FAULTS_MAX).map((fault) => ({ field: 'payload', description: String(fault) }))
  }
  const about = field ?? header
  return typeof about === 'string' ? [{ field: about, description: message }] : []
}

/** BadRequest{field_violations=1: FieldViolation{field=1, description=2}}. */
function writeBadRequest(writer: BinaryWriter, violations: readonly Violation[]): void {
  for (const { field, description } of violations) {
    writer.tag(1, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(cutText(field, MEMBER_BYTES_MAX))
    writer.tag(2, WireType.LengthDelimited).string(cutText(description, MEMBER_BYTES_MAX))
    writer.join()
  }
}

const STATUS_DETAILS = 'grpc-status-details-bin'
/** Where the table says that asking again can help and nobody has said when. */
const RETRY_AFTER_S = 1
/** Trailers are headers: clients take 8 KiB of them in all, by default, and a message travels in them twice. */
const MESSAGE_BYTES_MAX = 1_000
const MEMBER_BYTES_MAX = 256
const FAULTS_MAX = 3

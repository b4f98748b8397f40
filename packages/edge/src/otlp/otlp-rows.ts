import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { isTellable, logRowOf, timeOfNanos } from '../decode/log-fields.ts'
import type { Redaction } from '../decode/redaction.ts'
import { SecretHider } from '../decode/secret-hider.ts'
import { undecodable } from '../decode/undecodable.ts'
import type { LogRow } from '../log-row.ts'
import type { OtlpAround, OtlpFields, OtlpRecord } from './otlp-record.ts'

export interface OtlpRows {
  /** One JSON document each. */
  readonly values: readonly Buffer[]
  /** Log records of the request. */
  readonly records: number
  /** Those of them that are kept as they came, since they could not be read, or only in part. */
  readonly odd: number
}

/** Largest row; a longer one is kept in pieces. */
export const ROW_BYTES_MAX = 256 * 1024

/** All rows of a request: each repeats what its resource says, so they may be far larger than it. */
export const ROWS_BYTES_MAX = 12 * 1024 * 1024

/**
 * A row for each record. Throws OtlpMalformed when the request as a whole makes no sense, TASK_TOO_LARGE when its rows are
 * too many.
 */
export function otlpRows(records: Iterable<OtlpRecord>, redaction: Redaction, clock: Clock): OtlpRows {
  const values: Buffer[] = []
  const hider = new SecretHider(redaction)
  const receivedMs = clock.wallMs()
  const receivedAt = new Date(receivedMs).toISOString()
  let count = 0
  let odd = 0
  let bytes = 0
  let counted = 0
  for (const one of records) {
    count++
    for (; counted < values.length; counted++) bytes += values[counted]!.length
    if (bytes > ROWS_BYTES_MAX) {
      throw new ForebayError(
        'TASK_TOO_LARGE',
        `The rows of this request have more than ${ROWS_BYTES_MAX} bytes; send smaller batches.`,
      )
    }
    if (one.kind === 'odd') {
      odd++
      cut(one.bytes, values, (piece, continues) => undecodable(piece, one.reason, receivedAt, continues, hider))
      continue
    }
    const value = Buffer.from(JSON.stringify(rowOf(one.record, one.around, redaction, receivedAt)))
    if (value.length <= ROW_BYTES_MAX) values.push(value)
    else {
      odd++
      cut(value, values, (piece, continues) => undecodable(piece, 'too-long', receivedAt, continues, hider))
    }
  }
  return { values, records: count, odd }
}

function rowOf(record: OtlpFields, { resource, scope }: OtlpAround, redaction: Redaction, receivedAt: string): LogRow {
  const { timeNanos, observedNanos, severity, severityText, body, event, trace, span, attributes } = record
  // Redaction works in place, and the resource is shared.
  const { 'service.name': service, 'host.name': server, ...others } = resource
  const { task, 'forebay.task': ours, ...rest } = attributes
  return logRowOf(
    {
      time: timeOf(timeNanos) ?? timeOf(observedNanos) ?? receivedAt,
      severity: severity >= 0 && severity <= 24 ? severity : 0,
      ...{ severityText, body, service, server, scope, event, trace, span },
      task: ours ?? task,
      attributes: rest,
      resource: others,
    },
    redaction,
  )
}

function timeOf(nanos: bigint): string | null {
  return nanos > 0n && isTellable(Number(nanos / 1_000_000n)) ? timeOfNanos(nanos) : null
}

function cut(bytes: Buffer, into: Buffer[], row: (piece: Buffer, continues: boolean) => Buffer): void {
  for (let at = 0; at === 0 || at < bytes.length; at += ROW_BYTES_MAX) {
    into.push(row(bytes.subarray(at, at + ROW_BYTES_MAX), at > 0))
  }
}

import type { ErrorCode } from '@forebay/protocol'
import { status } from '@grpc/grpc-js'

/**
 * What the status of a gRPC target means for the task. Every status but OK has a row; a number that is none of them
 * counts as UNKNOWN, as gRPC itself says.
 *
 * Retried is what another attempt may mend; `google.rpc.RetryInfo` then says when at the earliest. Final is what lies in
 * the request. Dead is what lies in neither the request nor the moment: an operator mends it and redrives.
 */
export const STATUS_TABLE: Readonly<Record<Exclude<keyof typeof status, 'OK'>, StatusRow>> = {
  /** Not by us: a proxy or the server gave up on the call. */
  CANCELLED: { then: 'retry', code: 'TARGET_UNAVAILABLE', ails: false },
  /** An exception in the handler, in most servers. */
  UNKNOWN: { then: 'retry', code: 'WORKER_FAILED', ails: false },
  INVALID_ARGUMENT: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  /** Ends the attempt as timed out; listed for completeness. */
  DEADLINE_EXCEEDED: { then: 'retry', code: 'ATTEMPT_TIMED_OUT', ails: true },
  NOT_FOUND: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  ALREADY_EXISTS: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  PERMISSION_DENIED: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  RESOURCE_EXHAUSTED: { then: 'retry', code: 'TARGET_UNAVAILABLE', ails: false },
  FAILED_PRECONDITION: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  /** A conflict of transactions: gRPC's own advice is to try again. */
  ABORTED: { then: 'retry', code: 'WORKER_FAILED', ails: false },
  OUT_OF_RANGE: { then: 'final', code: 'TARGET_REFUSED', ails: false },
  /** The method is not there: a deployment or a configuration is at fault, not the request. */
  UNIMPLEMENTED: { then: 'dead', code: 'TARGET_REFUSED', ails: false },
  /** Broken connections come as this too. */
  INTERNAL: { then: 'retry', code: 'WORKER_FAILED', ails: true },
  UNAVAILABLE: { then: 'retry', code: 'TARGET_UNAVAILABLE', ails: true },
  DATA_LOSS: { then: 'dead', code: 'WORKER_FAILED', ails: false },
  /** It is this server that is not let in. */
  UNAUTHENTICATED: { then: 'dead', code: 'TARGET_REFUSED', ails: false },
}

export interface StatusRow {
  readonly then: 'retry' | 'final' | 'dead'
  readonly code: ErrorCode
  /** Whether it speaks against the address that answered, not only against the request. */
  readonly ails: boolean
}

export function statusName(code: number): keyof typeof STATUS_TABLE {
  const name: string | undefined = status[code]
  return name !== undefined && name in STATUS_TABLE ? (name as keyof typeof STATUS_TABLE) : 'UNKNOWN'
}

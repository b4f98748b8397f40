import { isErrorCode } from '@forebay/protocol/errors'
import { RequestError, type RequestErrorCode, ResultTimeoutError, TaskFailedError } from '@forebay/sdk/client'
import { CommandError, EXIT, exitCodeOf } from './exit-codes.ts'

/** What the client threw, as the end of a command: the gateway's own words, and what to type next. */
export function requestFault(thrown: unknown, url: string): unknown {
  if (thrown instanceof ResultTimeoutError) {
    const fix = [`forebay get ${thrown.id} --wait 60s --result`]
    return new CommandError(EXIT.failed, thrown.message, { code: thrown.code, fix, cause: thrown })
  }
  if (thrown instanceof TaskFailedError) {
    const code = isErrorCode(thrown.code) ? { code: thrown.code } : {}
    return new CommandError(EXIT.failed, thrown.message, { ...code, cause: thrown })
  }
  if (!(thrown instanceof RequestError)) return thrown
  const { code, message } = thrown
  if (code === 'UNREACHABLE') {
    const fix = ['forebay up    starts a gateway here; --url or FOREBAY_URL names one elsewhere.', ...again(thrown)]
    return new CommandError(EXIT.notConnected, `No gateway answered at ${url}: ${message}`, { fix, cause: thrown })
  }
  if (code === 'UNEXPECTED_ANSWER') return new CommandError(EXIT.failed, message, { cause: thrown })
  const fix = KEY_FIXES[code] ?? again(thrown)
  return new CommandError(exitCodeOf(code), message, { code, fix, cause: thrown })
}

const KEY_FIXES: { readonly [Code in RequestErrorCode]?: string[] } = {
  UNAUTHENTICATED: ['Set FOREBAY_KEY to an access key that this gateway knows.'],
  FORBIDDEN: ['Set FOREBAY_KEY to the access key of an operator (`operator: true` in auth.keys).'],
}

/** Where it is open whether the task was kept, the same key finds out without making a second one. */
function again({ code, idempotencyKey }: RequestError): string[] {
  if (idempotencyKey === null || (code !== 'UNREACHABLE' && code !== 'OUTCOME_UNKNOWN')) return []
  return [`To be sure that there is one task: again with --idempotency-key ${idempotencyKey}`]
}

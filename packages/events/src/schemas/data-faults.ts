import { ForebayError } from '@forebay/protocol'

/** One place of the data that does not meet the schema: '/lines/0/count must be an int'. */
export function faultAt(path: readonly (string | number)[], what: string): string {
  return `${path.length === 0 ? '/' : path.map((step) => `/${step}`).join('')} ${what}`
}

export function invalidData(faults: readonly string[], cause?: unknown): ForebayError {
  const told = faults.slice(0, FAULTS_TOLD_MAX).join('; ')
  return new ForebayError('EVENT_INVALID', `The data does not meet its schema: ${told}.`, { cause })
}

export function undecodable(what: string, cause?: unknown): ForebayError {
  return new ForebayError('EVENT_UNDECODABLE', `The data cannot be read: ${what}.`, { cause })
}

/** Of a fault of a library, without its full stop. */
export function messageOf(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\.$/, '')
}

const FAULTS_TOLD_MAX = 5

import { hash, timingSafeEqual } from 'node:crypto'
import { ForebayError } from '@forebay/protocol/errors'

/** Who may call: a name and the SHA-256 of its key. The key itself is never kept. */
export interface AccessKey {
  readonly principal: string
  /** 64 hex digits. */
  readonly sha256: string
  /** May see and mend what is parked and dead, of everybody. Default false. */
  readonly operator?: boolean
}

/** The principal of everybody while no keys are configured. */
export const ANONYMOUS = 'anonymous'

/**
 * Turns the value of an Authorization header (or of the metadata of that name) into a principal. Throws
 * UNAUTHENTICATED, always the same, so that nothing is learned of the keys; every key is compared, in constant time.
 */
export type Authenticate = (authorization: string | undefined) => string

export function authenticator(keys: readonly AccessKey[]): Authenticate {
  if (keys.length === 0) return () => ANONYMOUS
  const known = keys.map(({ principal, sha256 }) => ({ principal, digest: Buffer.from(sha256, 'hex') }))
  return (authorization) => {
    const token = bearerToken(authorization)
    const digest = hash('sha256', token, 'buffer')
    let principal: string | undefined
    for (const key of known) {
      if (timingSafeEqual(key.digest, digest)) principal = key.principal
    }
    if (principal === undefined || token === NO_TOKEN) {
      throw new ForebayError(
        'UNAUTHENTICATED',
        'Send the header "Authorization: Bearer <key>" with a key of this server.',
      )
    }
    return principal
  }
}

/** Whether a principal may do what operators do; every one of its keys may, when one of them says so. */
export type IsOperator = (principal: string) => boolean

/** While no keys are configured everybody is an operator. */
export function operatorsAmong(keys: readonly AccessKey[]): IsOperator {
  if (keys.length === 0) return () => true
  const operators = new Set(keys.filter((key) => key.operator === true).map((key) => key.principal))
  return (principal) => operators.has(principal)
}

/** Stands for a header that holds no key: the work stays the same. */
const NO_TOKEN = ''
const BEARER = /^bearer +([\x21-\x7e]{1,4096})$/i

function bearerToken(authorization: string | undefined): string {
  return (authorization === undefined ? null : BEARER.exec(authorization)?.[1]) ?? NO_TOKEN
}

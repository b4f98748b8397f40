import { createHmac, randomInt, randomUUID, timingSafeEqual } from 'node:crypto'
import { type SealedCode, type SealingKey, sealCode } from '../sealed-code.ts'

/** What the database keeps of a code. */
export interface StoredCode {
  readonly codeId: string
  /** HMAC-SHA-256, hex. */
  readonly hash: string
  /** Wall ms since 1970. */
  readonly expiresMs: number
  readonly attemptsLeft: number
}

export interface NewCode {
  readonly stored: StoredCode
  readonly sealed: SealedCode & { readonly expiresAt: string }
}

export interface CodeMaker {
  make(userId: string, nowMs: number): NewCode
  /** In the same time whether there is an account or none, and wherever the first wrong digit is. */
  matches(account: { readonly userId: string; readonly code: StoredCode } | null, given: string): boolean
}

export interface CodeOptions {
  /** 32 bytes or more that are not in the database. */
  readonly pepper: Uint8Array
  /** Of whoever sends the mails. */
  readonly mailKey: SealingKey
  /** Default: 6 digits of the system's generator. */
  readonly newCode?: () => string
}

export const CODE_DIGITS = 6
export const CODE_LIFE_MS = 15 * 60_000
export const ATTEMPTS_MAX = 5
const PEPPER_BYTES_MIN = 32

/**
 * There are only a million codes, so no hash alone protects one: with scrypt at 50 ms whoever has the database has tried
 * all of them by tomorrow, and every guess at our door would cost us 50 ms too. A keyed hash does: without the pepper, which
 * is not in the database, its hashes say nothing at all.
 */
export function createCodeMaker({ pepper, mailKey, newCode = sixDigits }: CodeOptions): CodeMaker {
  if (pepper.length < PEPPER_BYTES_MIN) throw new Error(`The pepper has ${pepper.length} bytes; it takes 32.`)
  const hashOf = (userId: string, codeId: string, code: string) =>
    createHmac('sha256', pepper).update(`${userId}\n${codeId}\n${code}`).digest()
  return {
    make(userId, nowMs) {
      const code = newCode()
      const codeId = randomUUID()
      const expiresMs = nowMs + CODE_LIFE_MS
      const hash = hashOf(userId, codeId, code).toString('hex')
      const sealed = sealCode(code, { userId, codeId }, mailKey)
      return {
        stored: { codeId, hash, expiresMs, attemptsLeft: ATTEMPTS_MAX },
        sealed: { ...sealed, expiresAt: new Date(expiresMs).toISOString() },
      }
    },
    matches(account, given) {
      const { userId, code } = account ?? NOBODY
      const isEqual = timingSafeEqual(hashOf(userId, code.codeId, given), Buffer.from(code.hash, 'hex'))
      return isEqual && account !== null
    },
  }
}

const NOBODY = { userId: '', code: { codeId: '', hash: '0'.repeat(64) } }

function sixDigits(): string {
  return String(randomInt(10 ** CODE_DIGITS)).padStart(CODE_DIGITS, '0')
}

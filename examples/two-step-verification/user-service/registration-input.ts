import { domainToASCII } from 'node:url'
import type { Registration } from './account.ts'
import { CODE_DIGITS } from './verification-code.ts'

export interface Fault {
  readonly field: string
  readonly message: string
}

export type Checked<Input> =
  | { readonly kind: 'fine'; readonly input: Input }
  | { readonly kind: 'faulty'; readonly faults: readonly Fault[] }

export function readRegistration(body: unknown): Checked<Registration> {
  const { firstName, lastName, email } = fieldsOf(body)
  return all({ firstName: readName(firstName), lastName: readName(lastName), email: readEmail(email) }, (read) => ({
    firstName: read.firstName,
    lastName: read.lastName,
    ...read.email,
  }))
}

export function readVerification(body: unknown): Checked<{ readonly address: string; readonly code: string }> {
  const { email, code } = fieldsOf(body)
  return all({ email: readEmail(email), code: readCode(code) }, (read) => ({
    address: read.email.address,
    code: read.code,
  }))
}

export function readResend(body: unknown): Checked<{ readonly address: string }> {
  return all({ email: readEmail(fieldsOf(body).email) }, (read) => ({ address: read.email.address }))
}

const NAME_CHARS_MAX = 60
/**
 * Letters of any language with their marks, and what stands between them in names. No digits, no slashes, no dot before
 * a letter: the name stands in a mail to an address that whoever typed it may not own, and must not become a link there.
 */
const NAME = /^\p{L}[\p{L}\p{M} '’‐-]*(?:\.(?: [\p{L}\p{M} '’‐-]+)?)*$/u
const EMAIL_CHARS_MAX = 254
const LOCAL_CHARS_MAX = 64
/** RFC 5321's dot-string: no quotes, comments or control characters, and ASCII only. */
const LOCAL = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/
const DOMAIN = /^(?=.{1,253}$)(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)+[a-z](?:[a-z\d-]{0,61}[a-z\d])$/
const CODE = new RegExp(`^\\d{${CODE_DIGITS}}$`)

type Read<Value> = { readonly value: Value } | { readonly fault: string }

function readName(given: unknown): Read<string> {
  if (typeof given !== 'string') return { fault: 'Tell us your name.' }
  if (given.length > NAME_CHARS_MAX * 4) return { fault: `Use ${NAME_CHARS_MAX} characters at most.` }
  const name = given.normalize('NFC').trim().replace(/ {2,}/g, ' ')
  if (name === '') return { fault: 'Tell us your name.' }
  if ([...name].length > NAME_CHARS_MAX) return { fault: `Use ${NAME_CHARS_MAX} characters at most.` }
  return NAME.test(name) ? { value: name } : { fault: 'Use letters, spaces, hyphens and apostrophes.' }
}

/** An account is the same whatever the case of its address; mails go to the spelling that was given. */
function readEmail(given: unknown): Read<{ readonly email: string; readonly address: string }> {
  if (typeof given !== 'string' || given.trim() === '') return { fault: 'Tell us your e-mail address.' }
  const text = given.trim()
  const at = text.lastIndexOf('@')
  const local = text.slice(0, at)
  if (at < 1 || text.length > EMAIL_CHARS_MAX || local.length > LOCAL_CHARS_MAX) return NO_EMAIL
  // What is not a host name becomes '', and names in other scripts what the DNS knows them by.
  const domain = domainToASCII(text.slice(at + 1)).toLowerCase()
  if (!LOCAL.test(local) || !DOMAIN.test(domain)) return NO_EMAIL
  const email = `${local}@${domain}`
  if (email.length > EMAIL_CHARS_MAX) return NO_EMAIL
  return { value: { email, address: email.toLowerCase() } }
}

const NO_EMAIL = { fault: 'This is no e-mail address we can write to.' }

function readCode(given: unknown): Read<string> {
  const code = typeof given === 'string' ? given.replaceAll(' ', '') : ''
  return CODE.test(code) ? { value: code } : { fault: `The code has ${CODE_DIGITS} digits.` }
}

function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : {}
}

/** Every field at fault is named at once. */
function all<Values extends Readonly<Record<string, unknown>>, Input>(
  reads: { readonly [Field in keyof Values]: Read<Values[Field]> },
  build: (values: Values) => Input,
): Checked<Input> {
  const faults: Fault[] = []
  const values: Record<string, unknown> = {}
  for (const [field, read] of Object.entries<Read<unknown>>(reads)) {
    if ('fault' in read) faults.push({ field, message: read.fault })
    else values[field] = read.value
  }
  return faults.length > 0 ? { kind: 'faulty', faults } : { kind: 'fine', input: build(values as Values) }
}

import { ForebayError } from '@forebay/protocol'
import { nearestName } from '../nearest-name.ts'
import { parseJson } from './json-body.ts'

/** What a client may say, read and checked for itself; values that other doors know too are checked where they are used. */
export type ClientMessage =
  | ({ readonly op: 'submit'; readonly ref: string; readonly text: string } & SubmitFields)
  | { readonly op: 'watch'; readonly ref: string; readonly id: string; readonly after?: string }
  | { readonly op: 'get' | 'cancel'; readonly ref: string; readonly id: string }
  | { readonly op: 'unwatch'; readonly ref: string }
  | { readonly op: 'ping'; readonly ref?: string }

export interface SubmitFields {
  readonly queue: string
  /** Whether the message has a `body`; the bytes of it are in the text of the message. */
  readonly hasBody: boolean
  readonly bodyText?: string
  readonly base64?: string
  readonly contentType?: string
  readonly key?: string
  readonly idempotencyKey?: string
  readonly delay?: string
  readonly notBefore?: string
  readonly deadline?: string
  readonly priority?: number
  readonly callback?: string
  readonly traceparent?: string
  readonly tracestate?: string
  readonly watch?: boolean
}

export interface ReadMessage {
  /** Null where the message is so malformed that it names none. */
  readonly ref: string | null
  readonly message: ClientMessage | null
  /** Why there is no message. */
  readonly fault: ForebayError | null
}

export const REF_CHARACTERS_MAX = 64

/** Never throws: what is wrong is told under the ref, where there is one. */
export function readMessage(bytes: Buffer): ReadMessage {
  let ref: string | null = null
  try {
    const given = parseJson(bytes, 'The message')
    if (typeof given !== 'object' || given === null || Array.isArray(given)) throw badMessage('A message is an object.')
    const fields = given as Readonly<Record<string, unknown>>
    if (fields.ref !== undefined) ref = checkedRef(fields.ref)
    return { ref, message: checked(fields, bytes), fault: null }
  } catch (thrown) {
    if (!(thrown instanceof ForebayError)) throw thrown
    return { ref, message: null, fault: thrown }
  }
}

type Kind = 'string' | 'number' | 'boolean' | 'any'

const FIELDS: Readonly<Record<ClientMessage['op'], Readonly<Record<string, Kind>>>> = {
  submit: {
    queue: 'string',
    body: 'any',
    text: 'string',
    base64: 'string',
    contentType: 'string',
    key: 'string',
    idempotencyKey: 'string',
    delay: 'string',
    notBefore: 'string',
    deadline: 'string',
    priority: 'number',
    callback: 'string',
    traceparent: 'string',
    tracestate: 'string',
    watch: 'boolean',
  },
  watch: { id: 'string', after: 'string' },
  get: { id: 'string' },
  cancel: { id: 'string' },
  unwatch: {},
  ping: {},
}
const REQUIRED: Readonly<Record<ClientMessage['op'], readonly string[]>> = {
  submit: ['ref', 'queue'],
  watch: ['ref', 'id'],
  get: ['ref', 'id'],
  cancel: ['ref', 'id'],
  unwatch: ['ref'],
  ping: [],
}

function checked(fields: Readonly<Record<string, unknown>>, bytes: Buffer): ClientMessage {
  const { op } = fields
  if (typeof op !== 'string' || !Object.hasOwn(FIELDS, op)) {
    const nearest = typeof op === 'string' ? nearestName(op, Object.keys(FIELDS)) : null
    const hint = nearest === null ? `known are ${Object.keys(FIELDS).join(', ')}` : `did you mean "${nearest}"?`
    throw badMessage(`"op" says what is to be done, and there is no such one; ${hint}`, 'op')
  }
  const known = FIELDS[op as ClientMessage['op']]
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'op' || name === 'ref') continue
    const kind = Object.hasOwn(known, name) ? known[name] : undefined
    if (kind === undefined) throw unknownField(op, name, Object.keys(known))
    if (kind !== 'any' && typeof value !== kind) throw badMessage(`"${name}" must be a ${kind}.`, name)
  }
  for (const name of REQUIRED[op as ClientMessage['op']]) {
    if (!Object.hasOwn(fields, name)) throw badMessage(`A message with "op": "${op}" needs "${name}".`, name)
  }
  if (op !== 'submit') return fields as unknown as ClientMessage
  const bodies = ['body', 'text', 'base64'].filter((name) => Object.hasOwn(fields, name))
  if (bodies.length > 1) throw badMessage(`"${bodies[0]}" and "${bodies[1]}" both hold a body; send one.`, bodies[1])
  const { body: _body, text: bodyText, ...rest } = fields
  const hasBody = bodies[0] === 'body'
  const named = bodyText === undefined ? rest : { ...rest, bodyText }
  return { ...named, hasBody, text: hasBody ? bytes.toString() : '' } as unknown as ClientMessage
}

function checkedRef(ref: unknown): string {
  if (typeof ref === 'string' && ref.length > 0 && ref.length <= REF_CHARACTERS_MAX && ref.isWellFormed()) return ref
  throw badMessage(`"ref" must be a string of 1 to ${REF_CHARACTERS_MAX} characters.`, 'ref')
}

function unknownField(op: string, name: string, known: readonly string[]): ForebayError {
  const shown = JSON.stringify(name.slice(0, REF_CHARACTERS_MAX))
  const nearest = nearestName(name, [...known, 'ref'])
  const hint = nearest === null ? `known are ${['ref', ...known].join(', ')}` : `did you mean "${nearest}"?`
  return badMessage(`A message with "op": "${op}" has no ${shown}; ${hint}`, name.slice(0, REF_CHARACTERS_MAX))
}

export function badMessage(message: string, field?: string): ForebayError {
  return new ForebayError('BAD_REQUEST', message, field === undefined ? {} : { members: { field } })
}

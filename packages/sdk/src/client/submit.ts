import type { Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol/errors'
import { encodeBody } from '../body.ts'
import { type Duration, durationMs } from '../duration.ts'
import type { Answer, Exchange } from './exchange.ts'
import type { ResolvedClientOptions } from './options.ts'
import { persist } from './persist.ts'

export interface SubmitOptions {
  /** Ordering key: on a queue with `order: key`, the tasks of one key run one at a time. At most 256 bytes of UTF-8. */
  readonly key?: string
  /**
   * 1 to 255 visible ASCII characters. Submitting again under the same key lands on the same task. Default: a random
   * one, so that this client's own retries do.
   */
  readonly idempotencyKey?: string
  /** Media type of the body. Default: that of bytes, text or JSON. */
  readonly contentType?: string
  /** How long the task may take from now to its end; longer than the delay. Default: the queue's, after the delay. */
  readonly deadline?: Duration
  /** No attempt begins before this has passed; at most 365 days. */
  readonly delay?: Duration
  /** The same as a moment, by the gateway's clock; one that has passed delays nothing. Not together with `delay`. */
  readonly notBefore?: Date
  /** 0 to 9; of the tasks that are ready on a queue, higher ones go first. Default 4. */
  readonly priority?: number
  /** URL that the gateway calls, signed, when the task has ended (a webhook); https on a public host. */
  readonly callback?: string
  readonly signal?: AbortSignal
}

/** How long the POST itself may wait for the result; null: not at all. */
export interface SubmitWait {
  readonly waitMs: number
  /** For each request. */
  readonly timeoutMs: number
  /** For all of them. */
  readonly withinMs: number
}

/**
 * Hands a task in, again where that can help, always under one idempotency key: however many requests it takes, there is
 * one task (P9).
 */
export async function submitTask(
  exchange: Exchange,
  options: ResolvedClientOptions,
  queue: string,
  body: unknown,
  given: SubmitOptions,
  wait: SubmitWait | null,
): Promise<Answer> {
  const { bytes, contentType } = encodeBody(body, given.contentType)
  const idempotencyKey = given.idempotencyKey ?? randomKey(options.random)
  const headers = {
    'content-type': contentType,
    'idempotency-key': checkIdempotencyKey(idempotencyKey),
    ...(given.key === undefined ? {} : { 'forebay-key': headerText(given.key) }),
    ...(given.deadline === undefined ? {} : { 'forebay-deadline': seconds(durationMs(given.deadline, 'deadline')) }),
    ...delayHeaders(given),
    ...(given.priority === undefined ? {} : { 'forebay-priority': checkPriority(given.priority) }),
    ...(given.callback === undefined ? {} : { 'forebay-callback': checkCallback(given.callback) }),
    ...(wait === null ? {} : { prefer: `wait=${seconds(wait.waitMs)}` }),
  }
  const path = `/v1/queues/${encodeURIComponent(queue)}/tasks`
  const timeoutMs = wait?.timeoutMs ?? options.timeoutMs
  const { attemptsMax } = options.retry
  const withinMs = Math.min(options.retry.withinMs, wait?.withinMs ?? Number.POSITIVE_INFINITY)
  const { signal } = given
  return persist(options, { attemptsMax, withinMs, signal }, () =>
    exchange.ask({ method: 'POST', path, headers, body: bytes, timeoutMs, signal }),
  )
}

/** For Prefer, Forebay-Delay and Forebay-Deadline, whose unit it is. */
export function seconds(ms: number): string {
  return String(Math.ceil(ms) / 1_000)
}

function delayHeaders({ delay, notBefore }: SubmitOptions): Record<string, string> {
  if (delay !== undefined && notBefore !== undefined) {
    throw badOption('notBefore', 'it says the same as `delay` in another way; give one of them')
  }
  if (delay !== undefined) return { 'forebay-delay': seconds(durationMs(delay, 'delay')) }
  if (notBefore === undefined) return {}
  if (notBefore instanceof Date && !Number.isNaN(notBefore.getTime())) {
    return { 'forebay-not-before': notBefore.toISOString() }
  }
  throw badOption('notBefore', 'must be a valid Date')
}

function checkPriority(priority: number): string {
  if (Number.isInteger(priority) && priority >= 0 && priority <= PRIORITY_MAX) return String(priority)
  throw badOption('priority', `must be a whole number from 0 to ${PRIORITY_MAX}, got ${priority}`)
}

const PRIORITY_MAX = 9

/** What a header cannot carry; the gateway judges the rest. */
function checkCallback(url: string): string {
  if (/^[\x21-\x7e]{1,2048}$/.test(url)) return url
  throw badOption('callback', 'must be a URL of up to 2048 visible ASCII characters')
}

function checkIdempotencyKey(key: string): string {
  if (/^[\x21-\x7e]{1,255}$/.test(key) && !key.startsWith('"')) return key
  throw badOption('idempotencyKey', 'must be 1 to 255 visible ASCII characters, the first not a quote')
}

function randomKey(random: Random): string {
  const bytes = Buffer.alloc(IDEMPOTENCY_KEY_BYTES)
  random.fill(bytes)
  return bytes.toString('base64url')
}

/** 128 bits. */
const IDEMPOTENCY_KEY_BYTES = 16

/** Header bytes are Latin-1 to fetch; the gateway reads them as UTF-8. */
function headerText(key: string): string {
  const bytes = Buffer.from(key, 'utf8')
  if (key.isWellFormed() && bytes.length >= 1 && bytes.length <= KEY_BYTES_MAX && !CONTROL.test(key)) {
    return bytes.toString('latin1')
  }
  throw badOption('key', `must be 1 to ${KEY_BYTES_MAX} bytes of UTF-8 without control characters`)
}

const KEY_BYTES_MAX = 256
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

function badOption(field: string, fix: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `submit: ${field}: ${fix}.`, { members: { field } })
}

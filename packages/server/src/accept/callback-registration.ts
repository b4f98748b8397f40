import type { Clock, Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { WebhookOptions } from '../options.ts'
import { CALLBACKS_PER_TASK_MAX, type Callbacks, type CallbackToRegister } from '../store/callbacks.ts'
import type { Telemetry } from '../telemetry.ts'
import { allowedTargets } from '../webhooks/allowed-targets.ts'
import { type CallbackUrl, checkCallbackUrl } from '../webhooks/callback-url.ts'
import { secretsOf } from '../webhooks/secrets-of.ts'

/** What a caller's wish to be called goes through, for every door. */
export interface CallbackRegistration {
  /** Throws CALLBACK_REFUSED for a URL that may not be called, CALLBACK_UNAVAILABLE where nobody is ever called. */
  check(url: string, owner: string): CallbackUrl
  /**
   * Resolves once it is kept. The same task and URL twice is one callback. Throws CALLBACK_REFUSED when the receiver has
   * said 410 or the task has `CALLBACKS_PER_TASK_MAX`, STORE_UNAVAILABLE when it may be kept or not.
   */
  register(task: CalledFor, url: CallbackUrl): Promise<void>
  /** For a task that was certainly not kept. Never rejects: what stays is dropped when its time is over. */
  forget(taskId: string): Promise<void>
  /** The callbacks of the store; throws CALLBACK_UNAVAILABLE where it keeps none. */
  kept(): Callbacks
  /** Set by whoever calls: told of each task as it gets a callback. `mayHaveEnded`: then the callback can be due. */
  onRegistered: (taskId: string, mayHaveEnded: boolean) => void
}

export interface CalledFor {
  readonly id: string
  readonly owner: string
  readonly queue: string
  readonly deadlineAtMs: number
  /** False while its record is not in the log yet. */
  readonly mayHaveEnded: boolean
}

export interface CallbackRegistrationParts {
  /** Null where the store keeps none. */
  readonly callbacks: Callbacks | null
  readonly options: WebhookOptions | null
  readonly retentionMs: number
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

export function createCallbackRegistration(parts: CallbackRegistrationParts): CallbackRegistration {
  const { callbacks, options, retentionMs, clock, random, telemetry } = parts
  const allowed = allowedTargets(options?.allow ?? [])
  const registration: CallbackRegistration = {
    onRegistered: () => {},

    check(url, owner) {
      kept()
      if (options === null || secretsOf(options, owner).length === 0) throw withoutSecret()
      return checkCallbackUrl(url, { ports: options.ports, allowed })
    },

    async register(task, url) {
      const outcome = await kept()
        .register(rowOf(task, url))
        .catch((thrown: unknown) => {
          const message = 'The callback could not be written down; ask again.'
          throw new ForebayError('STORE_UNAVAILABLE', message, { cause: thrown, retryAfterS: 1 })
        })
      if (outcome === 'full') throw full(task.id)
      if (outcome === 'disabled') throw disabled()
      registration.onRegistered(task.id, task.mayHaveEnded)
    },

    async forget(taskId) {
      await callbacks?.forget(taskId).catch((err: unknown) => {
        telemetry.log.warn({ err, task: taskId }, 'forgetting the callback of a task that was not kept failed')
      })
    },

    kept,
  }
  return registration

  function kept(): Callbacks {
    if (callbacks === null) throw withoutStore()
    return callbacks
  }

  function rowOf({ id, owner, queue, deadlineAtMs }: CalledFor, { href, host }: CallbackUrl): CallbackToRegister {
    const keepUntilMs = Math.max(deadlineAtMs, clock.wallMs()) + retentionMs
    return { id: newCallbackId(random), taskId: id, owner, queue, url: href, host, keepUntilMs }
  }
}

/** Where nobody is ever called. */
export const noCallbacks: CallbackRegistration = {
  check: refuseAll,
  register: refuseAll,
  forget: async () => {},
  kept: refuseAll,
  onRegistered: () => {},
}

function refuseAll(): never {
  throw withoutStore()
}

/** 'cb_' and 26 characters of Crockford's base 32: 128 bits by chance. */
function newCallbackId(random: Random): string {
  const bytes = new Uint8Array(ID_BYTES)
  random.fill(bytes)
  let text = 'cb_'
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET[(held >> bits) & 31]
    }
    held &= (1 << bits) - 1
  }
  return text + ALPHABET[(held << (5 - bits)) & 31]
}

const ID_BYTES = 16
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

export function withoutStore(): ForebayError {
  return new ForebayError(
    'CALLBACK_UNAVAILABLE',
    'The store of this server keeps no callbacks. Use the embedded one, or "store: postgres://…".',
  )
}

function withoutSecret(): ForebayError {
  return new ForebayError(
    'CALLBACK_UNAVAILABLE',
    'This server calls nobody: it has no secret to sign calls with. Set "webhooks.secrets"; `forebay webhooks secret` makes one.',
  )
}

function full(task: string): ForebayError {
  const message = `The task has ${CALLBACKS_PER_TASK_MAX} callbacks, and may not have more.`
  return new ForebayError('CALLBACK_REFUSED', message, { members: { task, limit: CALLBACKS_PER_TASK_MAX } })
}

function disabled(): ForebayError {
  const message =
    'The receiver at this callback URL has answered 410 before: it wants no more calls. An operator can lift that with `forebay webhooks enable`.'
  return new ForebayError('CALLBACK_REFUSED', message, { members: { field: 'callback' } })
}

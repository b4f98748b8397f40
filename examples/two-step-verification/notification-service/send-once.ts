import { createHash } from 'node:crypto'
import { DeadError, type Event, RetryError } from '@forebay/events'
import type { Logger } from 'pino'
import { continueTrace } from '../trace.ts'
import type { MailLedger } from './mail-ledger.ts'
import type { Mailer } from './mailer.ts'
import type { MailText } from './mails.ts'

export interface SendOnceParts {
  readonly ledger: MailLedger
  readonly mailer: Mailer
  /** The domain of message ids. */
  readonly domain: string
  readonly log: Logger
}

export interface MailOfEvent {
  readonly kind: 'code' | 'welcome'
  readonly to: string
  /** Null: it is too late for it. */
  write(): MailText | null
}

/**
 * Claim, send, done. The mail of an event is handed over once; only if the SMTP server's word on it did not reach us, because
 * it or we or the network ended in between, it is handed over again, and then it is the same mail with the same Message-ID.
 */
export async function sendOnce(
  event: Event,
  { kind, to, write }: MailOfEvent,
  { ledger, mailer, domain, log }: SendOnceParts,
  signal: AbortSignal,
): Promise<void> {
  const hold = await ledger.hold(event)
  if (hold === null) throw new RetryError('Another attempt is at this mail.', { afterMs: HELD_PAUSE_MS })
  try {
    const messageId = messageIdOf(event, domain)
    const { traceId, traceparent } = continueTrace(event.traceparent)
    const line = { traceId, event: event.id, kind, messageId }
    const state = await ledger.begin(event, { messageId, kind })
    if (state === 'sent' || state === 'expired') {
      log.info({ ...line, state }, 'This event came again; its mail was done before.')
      return
    }
    const text = write()
    if (text === null) {
      await ledger.end(event, 'expired', '')
      log.warn(line, 'The code expired before its mail could be sent.')
      return
    }
    signal.throwIfAborted()
    const outcome = await mailer.send({ to, messageId, traceparent, ...text })
    const { answer } = outcome
    if (outcome.kind === 'sent') {
      await ledger.end(event, 'sent', answer)
      log.info({ ...line, answer }, 'A mail was sent.')
      return
    }
    log.warn({ ...line, outcome: outcome.kind, answer }, 'A mail could not be sent.')
    if (outcome.kind !== 'refused') throw new RetryError(`SMTP, ${outcome.kind}: ${answer}`)
    await ledger.end(event, 'refused', answer)
    throw new DeadError(`The SMTP server refuses it: ${answer}`)
  } finally {
    await hold.release()
  }
}

const HELD_PAUSE_MS = 500

/** The same for the same event, whoever sends it. */
function messageIdOf({ source, id }: Event, domain: string): string {
  return `<${createHash('sha256').update(`${source}\n${id}`).digest('hex').slice(0, 32)}@${domain}>`
}

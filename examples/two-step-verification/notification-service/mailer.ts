import { createTransport } from 'nodemailer'

export interface Mailer {
  /**
   * Never rejects: how it ended is what it is about. Nor can it be called off: the server's word may be on its way, and
   * whoever does not wait for it sends the mail once more.
   */
  send(mail: Mail): Promise<SendOutcome>
  close(): void
}

export interface Mail {
  readonly to: string
  readonly messageId: string
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly traceparent: string
}

export type SendOutcome =
  /** The server has taken it over. */
  | { readonly kind: 'sent'; readonly answer: string }
  /** It will never take it: 5xx. */
  | { readonly kind: 'refused'; readonly answer: string }
  /** It did not take it, and may another time: 4xx, no connection, a password that is wrong. */
  | { readonly kind: 'later'; readonly answer: string }
  /** The connection ended before the server's word: it may have it. */
  | { readonly kind: 'unknown'; readonly answer: string }

/** Mails by SMTP over a few connections that are kept; `url` is smtp://[user:password@]host:port, or smtps://. */
export function createMailer(url: string, from: string): Mailer {
  const { protocol, hostname, port, username, password } = new URL(url)
  const transport = createTransport({
    pool: true,
    host: hostname,
    port: Number(port || (protocol === 'smtps:' ? 465 : 587)),
    secure: protocol === 'smtps:',
    ...(username === '' ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    maxConnections: CONNECTIONS_MAX,
    // It would send once more by itself when a connection ends, also after the mail was handed over. We want to know.
    maxRequeues: 0,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_MS_MAX,
    // No part of a mail is a path or an address to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async send({ to, messageId, subject, text, html, traceparent }) {
      const headers = { 'Auto-Submitted': 'auto-generated', 'X-Traceparent': traceparent }
      try {
        const mail = { from, to: { name: '', address: to }, messageId, subject, text, html, headers }
        const { response } = await transport.sendMail(mail)
        return { kind: 'sent', answer: response ?? '' }
      } catch (error) {
        return outcomeOf(error)
      }
    },
    close: () => transport.close(),
  }
}

const CONNECTIONS_MAX = 8
const CONNECT_TIMEOUT_MS = 5_000
const SILENCE_MS_MAX = 20_000
/** They end before the server was given anything of the mail. */
const BEFORE_THE_MAIL: readonly unknown[] = ['EDNS', 'ETLS', 'EAUTH', 'ENOAUTH', 'EPROXY', 'ECONFIG']

function outcomeOf(error: unknown): SendOutcome {
  const { code, command, permanent, responseCode, message } = error as {
    readonly code?: string
    readonly command?: string
    readonly permanent?: boolean
    readonly responseCode?: number
    readonly message?: string
  }
  const answer = String(message ?? error).slice(0, ANSWER_CHARS_MAX)
  // With a wrong password nothing is wrong with the mail.
  if (BEFORE_THE_MAIL.includes(code) || command === 'CONN') return { kind: 'later', answer }
  if (responseCode !== undefined) return { kind: permanent === true ? 'refused' : 'later', answer }
  return { kind: 'unknown', answer }
}

const ANSWER_CHARS_MAX = 300

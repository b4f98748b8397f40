import { type FastifyInstance, fastify } from 'fastify'
import type { Failures } from './catcher.ts'
import type { CaughtMail, CaughtMails } from './caught-mails.ts'

export interface CatcherPagesOptions {
  readonly mails: CaughtMails
  readonly counts: Readonly<Record<string, number>>
  readonly setFailures: (failures: Failures) => void
}

/** The mails for people, and the same as JSON for programs. */
export function createCatcherPages({ mails, counts, setFailures }: CatcherPagesOptions): FastifyInstance {
  const app = fastify({ forceCloseConnections: true })

  app.get('/', (_request, reply) => {
    const newest = mails.list({ to: null, after: Math.max(0, mails.total - SHOWN_MAX), limit: SHOWN_MAX }).toReversed()
    return reply.headers(PAGE_HEADERS).send(listPage(newest, mails.total))
  })
  app.get<ById>('/mails/:id', (request, reply) => {
    const mail = mails.get(Number(request.params.id))
    if (mail === undefined) return reply.code(404).send({ title: 'There is no such mail.' })
    return reply.headers(PAGE_HEADERS).send(mailPage(mail))
  })
  // What somebody sent is shown as it is, and may do nothing.
  app.get<ById>('/mails/:id/html', (request, reply) => {
    const mail = mails.get(Number(request.params.id))
    if (mail === undefined) return reply.code(404).send({ title: 'There is no such mail.' })
    const policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    return reply.headers({ ...PAGE_HEADERS, 'content-security-policy': policy }).send(mail.html)
  })
  app.get<{ Querystring: { to?: string; after?: string; limit?: string } }>('/api/mails', ({ query }) => ({
    total: mails.total,
    counts,
    mails: mails.list({
      to: query.to ?? null,
      after: numberOf(query.after, 0),
      limit: Math.min(numberOf(query.limit, LIMIT_DEFAULT), LIMIT_MAX),
    }),
  }))
  app.put<{ Body: Failures }>('/api/failures', { schema: { body: FAILURES } }, (request, reply) => {
    setFailures(request.body)
    return reply.code(204).send()
  })
  return app
}

interface ById {
  Params: { id: string }
}

const SHOWN_MAX = 100
const LIMIT_DEFAULT = 100
const LIMIT_MAX = 5_000
const share = { type: 'number', minimum: 0, maximum: 1, default: 0 }
const FAILURES = {
  type: 'object',
  additionalProperties: false,
  properties: { later: share, refuse: share, drop: share },
} as const
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'",
  'x-content-type-options': 'nosniff',
}

function listPage(mails: readonly CaughtMail[], total: number): string {
  const rows = mails.map(
    ({ id, receivedAt, to, subject, isAnswered }) =>
      `<tr><td>${receivedAt.slice(11, 19)}</td><td>${escapeHtml(to)}</td>` +
      `<td><a href="/mails/${id}">${escapeHtml(subject)}</a>${isAnswered ? '' : ' (answer cut)'}</td></tr>`,
  )
  return page(
    'Caught mails',
    `<h1>Caught mails</h1><p>${total} in all. Load again for news.</p>
<table><thead><tr><th>At</th><th>To</th><th>Subject</th></tr></thead><tbody>${rows.join('\n')}</tbody></table>`,
  )
}

function mailPage({ id, to, from, subject, messageId, traceparent, text }: CaughtMail): string {
  const facts = { From: from, To: to, 'Message-ID': messageId, Trace: traceparent }
  const rows = Object.entries(facts).map(([name, value]) => `<tr><th>${name}</th><td>${escapeHtml(value)}</td></tr>`)
  return page(
    subject,
    `<p><a href="/">All mails</a></p><h1>${escapeHtml(subject)}</h1><table>${rows.join('')}</table>
<h2>Text</h2><pre id="text">${escapeHtml(text)}</pre>
<h2>HTML</h2><iframe title="The mail as HTML" sandbox src="/mails/${id}/html"></iframe>`,
  )
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif } body { margin: 2rem auto; max-width: 50rem; padding-inline: 1rem }
th, td { text-align: start; padding: .2rem 1rem .2rem 0; vertical-align: top } pre { white-space: pre-wrap } iframe { width: 100%; height: 22rem; border: 1px solid GrayText }
</style></head><body><main>${body}</main></body></html>
`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

function numberOf(text: string | undefined, otherwise: number): number {
  const number = Number(text ?? otherwise)
  return Number.isSafeInteger(number) && number >= 0 ? number : otherwise
}

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Random, systemRandom } from '@forebay/broker'
import PostalMime from 'postal-mime'
import { SMTPServer } from 'smtp-server'
import { createCatcherPages } from './catcher-pages.ts'
import { CaughtMails } from './caught-mails.ts'

/** What an SMTP server may do to a mail. */
export type Treatment =
  | 'accept'
  /** 451: another time. */
  | 'later'
  /** 550: never. */
  | 'refuse'
  /** Takes the mail and cuts the connection before it has said so. */
  | 'drop'

/** Shares of the mails, each 0 to 1, together 1 at most. */
export interface Failures {
  readonly later: number
  readonly refuse: number
  readonly drop: number
}

export interface CatcherOptions {
  /** 0: a free one; another by default. */
  readonly smtpPort?: number
  readonly httpPort?: number
  readonly host?: string
  readonly failures?: Failures
  /** Decides for each mail instead of `failures`. */
  readonly treat?: (to: string) => Treatment
  readonly mailsMax?: number
  readonly random?: Random
}

export interface Catcher extends AsyncDisposable {
  /** smtp://host:port */
  readonly smtp: string
  readonly url: string
  readonly mails: CaughtMails
  readonly counts: Readonly<Record<Treatment, number>>
  /** Throws where they are no shares. */
  setFailures(failures: Failures): void
  stop(): Promise<void>
}

/** An SMTP server that keeps what comes, shows it, and fails when it is told to. */
export async function startCatcher(options: CatcherOptions = {}): Promise<Catcher> {
  const { host = '127.0.0.1', smtpPort = 0, httpPort = 0, random = systemRandom, mailsMax = MAILS_MAX } = options
  const mails = new CaughtMails(mailsMax)
  const counts = { accept: 0, later: 0, refuse: 0, drop: 0 }
  let failures = checkFailures(options.failures ?? NO_FAILURES)
  const treat = options.treat ?? (() => treatmentOf(random.unit(), failures))

  /** By the port of the other side: the library does not tell which socket a session has. */
  const sockets = new Map<number, Socket>()
  const smtp = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    size: MAIL_BYTES_MAX,
    onData(stream, session, done) {
      void buffer(stream).then(async (raw) => {
        const to = session.envelope.rcptTo[0]?.address ?? ''
        const treatment = treat(to)
        counts[treatment]++
        if (treatment === 'later') return done(refusal(451, 'Try again later'))
        if (treatment === 'refuse') return done(refusal(550, 'No such mailbox'))
        mails.add({ ...(await read(raw)), to, isAnswered: treatment === 'accept' })
        if (treatment === 'drop') sockets.get(session.remotePort)?.destroy()
        else done(null, 'Kept')
      }, done)
    },
  })
  // Connections that end in the middle of things are what this is for.
  smtp.on('error', () => {})
  smtp.server.on('connection', (socket) => {
    const port = socket.remotePort ?? 0
    sockets.set(port, socket)
    socket.once('close', () => sockets.delete(port))
  })
  smtp.listen(smtpPort, host)
  await once(smtp.server, 'listening')
  const address = smtp.server.address()
  const setFailures = (given: Failures) => {
    failures = checkFailures(given)
  }
  const pages = createCatcherPages({ mails, counts, setFailures })
  const url = await pages.listen({ port: httpPort, host })

  const stop = async () => {
    for (const socket of sockets.values()) socket.destroy()
    const closed = Promise.withResolvers<void>()
    smtp.close(() => closed.resolve())
    await Promise.all([closed.promise, pages.close()])
  }
  return {
    smtp: `smtp://${host}:${typeof address === 'object' ? address?.port : smtpPort}`,
    url,
    mails,
    counts,
    setFailures,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

const MAILS_MAX = 20_000
const MAIL_BYTES_MAX = 1_000_000
const NO_FAILURES: Failures = { later: 0, refuse: 0, drop: 0 }

function checkFailures(given: Failures): Failures {
  const shares = [given.later, given.refuse, given.drop]
  if (shares.every((share) => share >= 0 && share <= 1) && given.later + given.refuse + given.drop <= 1) return given
  throw new RangeError('failures: later, refuse and drop are shares from 0 to 1, together 1 at most.')
}

function treatmentOf(unit: number, { later, refuse, drop }: Failures): Treatment {
  if (unit < later) return 'later'
  if (unit < later + refuse) return 'refuse'
  return unit < later + refuse + drop ? 'drop' : 'accept'
}

function refusal(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode })
}

async function read(raw: Buffer) {
  const { from, subject = '', messageId = '', text = '', html = '', headers } = await PostalMime.parse(raw)
  const traceparent = headers.find(({ key }) => key === 'x-traceparent')?.value ?? ''
  return {
    receivedAt: new Date().toISOString(),
    from: from?.address ?? '',
    subject,
    messageId,
    traceparent,
    text,
    html,
  }
}

import type { Broker } from '@forebay/broker'
import { kafkaBroker } from '@forebay/broker/kafka'
import { forebayBroker } from '@forebay/broker/remote'
import { type Logger, pino } from 'pino'

/** What every service of this example has: a way to stop, and perhaps an address. */
export interface Service extends AsyncDisposable {
  /** Null where nobody calls it. */
  readonly url: string | null
  /** Ends what it is at, and closes what it opened. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * One service is one process: starts it, says so in a line with "event":"started", and stops it in good order at the first
 * signal. The log goes to stdout, a JSON object a line.
 */
export async function runService(name: string, start: (log: Logger) => Promise<Service>): Promise<void> {
  const log = pino({ base: { service: name } })
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort(signal))
  let service: Service
  try {
    service = await start(log)
  } catch (error) {
    log.fatal({ err: error }, `${name} cannot start.`)
    process.exitCode = 1
    return
  }
  log.info({ event: 'started', url: service.url, pid: process.pid }, `${name} is ready.`)
  if (!stopping.signal.aborted) {
    await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }))
  }
  await service.stop()
  log.info({ event: 'stopped' }, `${name} has stopped.`)
}

/** kafka://host:port[,host:port…], or forebay://host:port for the log of a Forebay server. Throws for anything else. */
export function brokerOf(address: string, log: Logger): Broker {
  const [, scheme, hosts = ''] = /^(kafka|forebay):\/\/([^/]+)\/?$/.exec(address) ?? []
  if (scheme === 'forebay') return forebayBroker({ server: hosts })
  if (scheme === 'kafka') {
    return kafkaBroker({ bootstrap: hosts.split(','), onWarning: (text, details) => log.warn(details, text) })
  }
  throw new Error(`--broker ${address}: write kafka://host:port or forebay://host:port.`)
}

/** postgres://… is PostgreSQL, anything else the path of a SQLite file. */
export function isPostgres(database: string): boolean {
  return /^postgres(ql)?:\/\//.test(database)
}

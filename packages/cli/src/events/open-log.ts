import type { Broker } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol/errors'
import { formatAddress, type ServerOptions } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { openBroker } from '../up/compose.ts'
import { createLogger } from '../up/logger.ts'

export interface LogFlags {
  readonly broker?: string
  readonly server?: string
  readonly config?: string
  readonly set: readonly string[]
}

export interface OpenLog extends AsyncDisposable {
  /** Open; no topic was made. */
  readonly broker: Broker
  readonly options: ServerOptions
}

/** Adds the flags that say which log is meant. */
export function withLogFlags(command: Command): Command {
  return withConfigFlags(command)
    .option('--broker <url>', 'the Kafka cluster that is the log, as kafka://host:9092')
    .option('--server <host:port>', 'the gRPC door of a server that stands before the log, as 127.0.0.1:8081')
}

/** Said below the examples of each of them. */
export const ABOUT_LOG = `
Without --broker and --server the log is that of the configuration: its Kafka cluster, or, as the embedded log belongs to
one process, the server that runs on it (grpc.listen). A server that asks for access keys wants one in FOREBAY_KEY.`

/** What is wrong with the configuration, or the address, ends the command. */
export async function openLog(flags: LogFlags, context: Context): Promise<OpenLog> {
  if (flags.broker !== undefined && flags.server !== undefined) {
    throw new CommandError(EXIT.usage, 'Say once where the log is: --broker or --server.')
  }
  const set = flags.broker === undefined ? flags.set : [...flags.set, `broker=${flags.broker}`]
  const { options } = requireConfig(context, { ...flags, set })
  const broker = await brokerOf(flags, options, context)
  try {
    await broker.open({ topics: [] })
  } catch (thrown) {
    await broker.close()
    throw withAdvice(thrown)
  }
  return { broker, options, [Symbol.asyncDispose]: () => broker.close() }
}

async function brokerOf({ server }: LogFlags, options: ServerOptions, context: Context): Promise<Broker> {
  const { key } = context.environment
  if (server === undefined && options.broker.kind === 'kafka') {
    return openBroker(options, createLogger(context.terminal, 'warn'))
  }
  const { forebayBroker } = await import('@forebay/broker/remote')
  const address = server ?? formatAddress(options.grpc)
  return forebayBroker({ server: address, ...(key === undefined ? {} : { key }) })
}

function withAdvice(thrown: unknown): unknown {
  if (!(thrown instanceof ForebayError) || thrown.code !== 'BROKER_UNAVAILABLE') return thrown
  return new CommandError(EXIT.notConnected, thrown.message, {
    code: thrown.code,
    fix: ['forebay up    starts a server here; --server names one elsewhere, --broker kafka://host:9092 a cluster.'],
    cause: thrown,
  })
}

import { writeFileSync } from 'node:fs'
import type { AsyncApiServer } from '@forebay/events'
import type { ServerOptions } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { configuredEvents } from '../events/configured-events.ts'
import { loadDefinitions } from '../events/load-definitions.ts'
import { CommandError, EXIT } from '../exit-codes.ts'

interface AsyncApiFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly definitions: readonly string[]
  readonly title: string
  readonly apiVersion: string
  readonly out?: string
  readonly json?: boolean
}

export function registerEventsAsyncApi(events: Command, context: Context): void {
  withConfigFlags(events.command('asyncapi'))
    .description('Prints an AsyncAPI 3.0 document of events, services and task queues, as YAML.')
    .option('-d, --definitions <file>', 'a module that exports definitions; may be repeated', collect, [])
    .option('--title <text>', 'title of the document', 'Forebay')
    .option('--api-version <version>', 'version of the document', '1.0.0')
    .option('-o, --out <file>', 'write it there instead; as JSON where the name ends in .json')
    .option('--json', 'as JSON')
    .addHelpText('after', EXAMPLES)
    .action((flags: AsyncApiFlags) => printDocument(flags, context))
}

const EXAMPLES = `
Examples:
  forebay events asyncapi --definitions src/accounts.ts
  forebay events asyncapi -d src/accounts.ts -c forebay.yaml --title Shop --api-version 2.1.0 -o asyncapi.json

Queues, events that callers may publish, and the servers of a Kafka log are those of the configuration. Each export of a module that is a definition counts,
and two others by their names: services ({ 'mail-service': { publishes: […], subscribes: […] } }) and servers.`

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value]
}

async function printDocument(flags: AsyncApiFlags, context: Context): Promise<void> {
  const { options } = requireConfig(context, flags)
  const loaded = await Promise.all(flags.definitions.map(loadDefinitions))
  if (loaded.length === 0 && options.queues.size === 0 && options.events.size === 0) {
    const message = 'There is nothing to describe: no --definitions, and no queue or event is configured.'
    throw new CommandError(EXIT.usage, message)
  }
  const { asyncApi } = await import('@forebay/events')
  const servers = Object.assign(serversOf(options.broker), ...loaded.map((one) => one.servers))
  const defined = loaded.flatMap((one) => one.events)
  const document = asyncApi({
    info: { title: flags.title, version: flags.apiVersion },
    ...(Object.keys(servers).length > 0 ? { servers } : {}),
    events: [...defined, ...(await configuredEvents(options.events, defined))],
    services: Object.assign({}, ...loaded.map((one) => one.services)),
    queues: options.queues.values(),
  })
  const asJson = flags.json ?? flags.out?.endsWith('.json') ?? false
  const text = asJson
    ? JSON.stringify(document, null, 2)
    : stringify(document, { aliasDuplicateObjects: false }).trimEnd()
  if (flags.out === undefined) return context.terminal.data(text)
  write(flags.out, `${text}\n`)
  context.terminal.say(`Wrote ${flags.out}.`)
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (cause) {
    throw new CommandError(EXIT.failed, `${file} cannot be written: ${(cause as Error).message}`, { cause })
  }
}

/** Where the configuration says that the log is Kafka. Without a password: how one is let in, not who. */
function serversOf(broker: ServerOptions['broker']): Record<string, AsyncApiServer> {
  if (broker.kind !== 'kafka') return {}
  const security = broker.sasl === null ? [] : [SECURITY[broker.sasl.mechanism]]
  const protocol = broker.tls === null ? ('kafka' as const) : ('kafka-secure' as const)
  return Object.fromEntries(
    broker.bootstrap.map((host, index) => [
      index === 0 ? 'kafka' : `kafka-${index + 1}`,
      { host, protocol, ...(security.length > 0 ? { security } : {}) },
    ]),
  )
}

const SECURITY = { PLAIN: 'plain', 'SCRAM-SHA-256': 'scramSha256', 'SCRAM-SHA-512': 'scramSha512' } as const

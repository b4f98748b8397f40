import { formatAddress, type ServerOptions } from '@forebay/server/configuration'
import { type Command, Option } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { CommandError, EXIT, type ExitCode } from '../exit-codes.ts'
import { sayStarted, startedEvent } from '../up/banner.ts'
import { type Composition, compose } from '../up/compose.ts'
import { createLogger, LOG_LEVELS, type LogLevel } from '../up/logger.ts'
import { freePortNear, portOwner, portTakenIn } from '../up/port-taken.ts'
import { stopOnSignals } from '../up/stop-on-signals.ts'

interface UpFlags {
  readonly config?: string
  readonly roles?: string
  readonly set: readonly string[]
  readonly logLevel?: LogLevel
  readonly json?: boolean
}

export function registerUp(program: Command, context: Context): void {
  withConfigFlags(program.command('up'))
    .description(
      'Runs gateway, dispatcher, recorder, collector and log store in this process, until Ctrl-C or SIGTERM.',
    )
    .option('--roles <names>', 'only these: gateway,dispatcher,recorder,collector,logs')
    .addOption(new Option('--log-level <level>', 'FOREBAY_LOG_LEVEL; default: info').choices(LOG_LEVELS))
    .option('--json', 'one JSON object a line on stdout: started, stopped')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: UpFlags) => context.exitWith(await up(flags, context)))
}

const EXAMPLES = `
Examples:
  forebay up
  forebay up --config forebay.yaml --set http.listen=0.0.0.0:8080
  forebay up --set broker=kafka://127.0.0.1:9092 --roles gateway
  FOREBAY_HTTP_LISTEN=127.0.0.1:0 forebay up

The first SIGINT or SIGTERM takes nothing new and finishes what runs within \`stopGrace\`; a second one ends at once.
Neither loses anything that was acknowledged.`

async function up(flags: UpFlags, context: Context): Promise<ExitCode> {
  const { terminal } = context
  const { options } = requireConfig(context, flags)
  const log = createLogger(terminal, logLevel(flags, context))
  if (options.broker.kind === 'kafka') terminal.say(`Reaching Kafka at ${options.broker.bootstrap.join(', ')}…`)
  const composition = await compose(options, log)
  const { server, broker, metrics } = composition
  const stopping = stopOnSignals({ server, registry: metrics.registry, graceMs: options.stopGraceMs, terminal })
  try {
    let listening: Awaited<ReturnType<Composition['server']['start']>>
    try {
      listening = await server.start()
    } catch (error) {
      if (stopping.asked) return EXIT.ok
      throw await explainPort(error, options)
    }
    if (flags.json) terminal.data(JSON.stringify(startedEvent(options, broker.capabilities, listening)))
    else sayStarted(terminal, options, broker.capabilities, listening)
    const end = await stopping.ended
    if (flags.json) terminal.data(JSON.stringify({ event: 'stopped', drained: end.drained, left: end.left }))
    return end.exitCode
  } finally {
    await server.stop({ graceMs: 0 })
    stopping.forget()
  }
}

function logLevel(flags: UpFlags, { environment }: Context): LogLevel {
  const named = flags.logLevel ?? environment.logLevel ?? 'info'
  const level = LOG_LEVELS.find((known) => known === named)
  if (level !== undefined) return level
  const fix = [`Write one of: ${LOG_LEVELS.join(', ')}.`]
  throw new CommandError(EXIT.usage, `FOREBAY_LOG_LEVEL holds ${JSON.stringify(named)}.`, { fix })
}

/** A taken port is what goes wrong most often at a start, so it gets its owner and a free one named. */
async function explainPort(error: unknown, { http, grpc, edge }: ServerOptions): Promise<unknown> {
  const port = portTakenIn(error)
  if (port === null) return error
  const doors = [
    ['http.listen', http],
    ['grpc.listen', grpc],
    ['edge.http.listen', edge.http.listen],
    ['edge.syslog.tcp', edge.syslog.tcp],
    ['edge.syslog.udp', edge.syslog.udp],
  ] as const
  const [key, door] = doors.find(([, one]) => one?.port === port) ?? doors[0]
  const host = door?.host ?? http.host
  const free = await freePortNear(port, host)
  const fix = free === null ? [] : [`forebay up --set ${key}=${formatAddress({ host, port: free })}`]
  return new CommandError(EXIT.failed, `Port ${port} is used by ${portOwner(port) ?? 'another process'}.`, {
    fix,
    cause: error,
  })
}

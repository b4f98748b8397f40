import { type Broker, systemClock } from '@forebay/broker'
import type { ServerOptions } from '@forebay/server'
import { type Command, InvalidArgumentError } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { checkDoors, reachable } from '../doctor/collector-checks.ts'
import { checkFiles } from '../doctor/file-checks.ts'
import { type Finding, found, printFinding } from '../doctor/finding.ts'
import { checkKafka } from '../doctor/kafka-checks.ts'
import { checkRoads } from '../doctor/probe.ts'
import { messageOf, reach } from '../doctor/reach.ts'
import { checkRows } from '../doctor/row-checks.ts'
import { EXIT } from '../exit-codes.ts'
import { openBroker } from '../up/compose.ts'
import { createLogger } from '../up/logger.ts'

interface EdgeFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly minutes: number
  readonly key?: string
  readonly probe: boolean
  readonly json?: boolean
}

export function registerDoctor(program: Command, context: Context): void {
  const doctor = program
    .command('doctor')
    .description('Checks what people check by hand when something does not arrive.')
  withConfigFlags(doctor.command('edge'))
    .description(
      'Checks the edge on this machine: doors of the collector, its way to the log, format of the access logs, clocks, and what is missing.',
    )
    .option('--minutes <count>', 'how far back rows are looked at', wholeMinutes, MINUTES_DEFAULT)
    .option('--key <key>', 'an access key, where auth.keys are set')
    .option('--no-probe', 'sends no probe lines')
    .option('--json', 'one JSON object, on stdout')
    .addHelpText('after', EXAMPLES)
    .action((flags: EdgeFlags) => checkEdge(flags, context))
}

const MINUTES_DEFAULT = 10
const EXAMPLES = `
Examples:
  forebay doctor edge
  forebay doctor edge -c /etc/forebay/forebay.yaml --minutes 60
  forebay doctor edge --json --no-probe

Each line says ok, warn, FAIL or skip, what was tried, what was seen, and what to do. The exit code is 1 when something
FAILs. A probe is one line of kind "probe" by each road of the configuration; it stays on the topic as a row.`

function wholeMinutes(text: string): number {
  const count = Number(text)
  if (Number.isSafeInteger(count) && count >= 1 && count <= 10_080) return count
  throw new InvalidArgumentError('Write a whole number from 1 to 10080.')
}

async function checkEdge(flags: EdgeFlags, context: Context): Promise<void> {
  const { options } = requireConfig(context, flags)
  const { terminal } = context
  const all: Finding[] = []
  const tell = (findings: readonly Finding[]) => {
    all.push(...findings)
    if (!flags.json) for (const finding of findings) printFinding(finding, terminal)
  }
  tell(namesSomething(options))
  tell(await checkFiles(options))
  tell(await checkDoors(options))
  const brokerFindings =
    options.broker.kind === 'kafka' ? await checkKafka(options, options.broker) : await checkServer(options)
  tell(brokerFindings)
  if (brokerFindings.some(({ state }) => state === 'fail')) {
    tell([found('rows', 'skip', options.edge.topic, 'the log cannot be read from here; see above')])
  } else tell(await withLog(options, flags, context))
  const fails = all.filter(({ state }) => state === 'fail').length
  const warnings = all.filter(({ state }) => state === 'warn').length
  if (flags.json) terminal.data(JSON.stringify({ ok: fails === 0, fails, warnings, findings: all }))
  else terminal.say(fails === 0 ? `Nothing fails; ${warnings} to look at.` : `${fails} FAIL, ${warnings} to look at.`)
  if (fails > 0) context.exitWith(EXIT.failed)
}

function namesSomething({ edge: { files, syslog, http } }: ServerOptions): readonly Finding[] {
  const doors = [syslog.udp, syslog.tcp, syslog.unix, http.listen, http.unix]
  if (files.length > 0 || doors.some((door) => door !== null)) return []
  const fix = 'Name a file, or edge.syslog or edge.http; or point -c at the configuration of the collector.'
  return [found('configuration', 'fail', 'edge', 'names no file and no door, so no collector runs by it', fix)]
}

/** An embedded log belongs to the process that runs on it; its gRPC door is asked. */
async function checkServer({ grpc }: ServerOptions): Promise<readonly Finding[]> {
  const tried = `${grpc.host}:${grpc.port}`
  if (grpc.port === 0) {
    return [
      found(
        'embedded log',
        'fail',
        tried,
        'the server picks its port, so its log cannot be asked',
        'Give grpc.listen a port.',
      ),
    ]
  }
  const reached = await reach({ host: reachable(grpc.host), port: grpc.port }, null)
  if (reached.kind === 'reached') return [found('embedded log', 'ok', tried, 'its server takes connections')]
  const fix = 'The log is embedded in the server: start it, forebay up.'
  return [found('embedded log', 'fail', tried, `its server takes none (${reached.why})`, fix)]
}

async function withLog(options: ServerOptions, flags: EdgeFlags, context: Context): Promise<readonly Finding[]> {
  const log = await logOf(options, flags, context)
  const key = flags.key ?? null
  try {
    await log.open({ topics: [] })
    const sinceMs = systemClock.wallMs() - flags.minutes * 60_000
    const roads = flags.probe ? await checkRoads(options, log, key) : []
    return [...roads, ...(await checkRows(options, log, sinceMs))]
  } catch (error) {
    const fix =
      options.auth.keys.length > 0 && key === null
        ? 'auth.keys are set: give one, --key KEY.'
        : 'See the checks of the log above.'
    return [found('rows', 'fail', options.edge.topic, `the log cannot be read (${messageOf(error)})`, fix)]
  } finally {
    await log.close()
  }
}

async function logOf(options: ServerOptions, { key }: EdgeFlags, { terminal }: Context): Promise<Broker> {
  if (options.broker.kind === 'kafka') return openBroker(options, createLogger(terminal, 'silent'))
  const { forebayBroker } = await import('@forebay/broker/remote')
  const { host, port } = options.grpc
  const server = reachable(host).includes(':') ? `[${reachable(host)}]:${port}` : `${reachable(host)}:${port}`
  return forebayBroker({ server, ...(key === undefined ? {} : { key }) })
}

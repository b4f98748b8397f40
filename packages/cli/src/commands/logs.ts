import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol/errors'
import { parseDuration } from '@forebay/server/configuration'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { inertJson } from '../events/event-lines.ts'
import { readCount } from '../events/when.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { type AdminAsk, type GatewayFlags, openGateway } from '../gateway.ts'
import { onInterrupt } from '../interrupt.ts'
import { csvLine, type LogColumn, objectOf, rowLines, tailLine } from '../logs/show-rows.ts'
import { urlOf } from '../up/banner.ts'
import { type LogsPlace, logsPlace, queriesOf } from '../up/logs.ts'

interface PlaceFlags extends GatewayFlags {
  readonly dir?: string
  readonly config?: string
  readonly set: readonly string[]
}

interface QueryFlags extends PlaceFlags {
  readonly json?: boolean
  readonly csv?: boolean
  readonly limit?: number
  readonly timeout?: number
  readonly since?: number
}

interface TailFlags extends PlaceFlags {
  readonly where?: string
  readonly table?: string
  readonly json?: boolean
}

export function registerLogs(program: Command, context: Context): void {
  const logs = program.command('logs').description('Asks the log store: access logs, tasks, attempts and events.')
  withPlaceFlags(logs.command('query'))
    .argument(
      '<sql>',
      'one SELECT over access, tasks, attempts, events, logs, dropped, undecodable, task_records, others',
    )
    .description('Answers SQL over the rows of the log store.')
    .addOption(new Option('--json', 'one JSON object a row, on stdout').conflicts('csv'))
    .option('--csv', 'comma-separated values with a header, on stdout')
    .option('-n, --limit <rows>', 'at most so many rows; default 10,000', readCount)
    .option('--timeout <duration>', 'give up after so long; default 30s', readDuration)
    .option(
      '--since <duration>',
      'only rows of the last so long, as 2h or 7d; files of before are not opened',
      readDuration,
    )
    .addHelpText('after', QUERY_EXAMPLES)
    .action((sql: string, flags: QueryFlags) => query(sql, flags, context))
  withPlaceFlags(logs.command('tail'))
    .description('Prints rows as the store gets them, about a second after the request. Ctrl-C ends it.')
    .option('-w, --where <condition>', "a condition of SQL, as 'status >= 500'")
    .option('--table <name>', 'of these rows; default: access')
    .option('--json', 'one JSON object a row, on stdout')
    .addHelpText('after', TAIL_EXAMPLES)
    .action((flags: TailFlags) => tail(flags, context))
}

function withPlaceFlags(command: Command): Command {
  return withConfigFlags(command)
    .option('--url <url>', 'the gateway (FOREBAY_URL; default: http.listen of the configuration)')
    .option('--dir <folder>', "the store's own folder, without a gateway")
}

const ABOUT_PLACE = `
The gateway is asked (operators only, where access keys are configured; FOREBAY_KEY holds yours). Where none answers and
no --url was given, the store itself is read: the folder of --dir, or what edge.logs of the configuration names.`

const QUERY_EXAMPLES = `
Examples:
  forebay logs query 'SELECT status, count(*) FROM access GROUP BY status ORDER BY status' --since 1h
  forebay logs query "SELECT * FROM attempts WHERE task = 'ID'" --json
  forebay logs query 'SUMMARIZE access' --csv > summary.csv
  forebay logs query 'DESCRIBE access'              the columns of a table; docs/logs.md says what they mean
${ABOUT_PLACE}`

const TAIL_EXAMPLES = `
Examples:
  forebay logs tail --where 'status >= 500'
  forebay logs tail --where "path LIKE '/v1/queues/%'" --json
  forebay logs tail --table dropped
${ABOUT_PLACE}`

interface Part {
  readonly columns?: readonly LogColumn[]
  readonly rows?: readonly (readonly unknown[])[]
  readonly end?: { readonly truncated: boolean }
}

async function query(sql: string, flags: QueryFlags, context: Context): Promise<void> {
  const { terminal } = context
  const limits = {
    ...(flags.limit === undefined ? {} : { rowsMax: flags.limit }),
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
    ...(flags.since === undefined ? {} : { sinceMs: systemClock.wallMs() - flags.since }),
  }
  using interrupt = onInterrupt()
  const parts = partsOf(flags, context, '/v1/admin/logs/query', { sql, ...limits }, async function* (place) {
    yield* queriesOf(await import('@forebay/edge/store'), place).query({ sql, ...limits }, interrupt.signal)
  })
  let columns: readonly LogColumn[] = []
  const shown: (readonly unknown[])[] = []
  for await (const part of untilAborted(parts, interrupt.signal)) {
    if (part.columns !== undefined) {
      columns = part.columns
      if (flags.csv) terminal.data(csvLine(columns.map(({ name }) => name)))
    }
    for (const row of part.rows ?? []) {
      if (flags.json) terminal.data(inertJson(objectOf(columns, row)))
      else if (flags.csv) terminal.data(csvLine(row))
      else shown.push(row)
    }
    if (part.end === undefined) continue
    if (!flags.json && !flags.csv) for (const line of rowLines(columns, shown)) terminal.data(line)
    if (part.end.truncated) terminal.say('There are more rows; --limit says how many are shown.')
  }
  if (interrupt.signal.aborted) {
    // Not 0: what was shown is not the answer.
    process.exit(interrupt.signal.reason === 'SIGTERM' ? EXIT.terminated : EXIT.interrupted)
  }
}

async function tail(flags: TailFlags, context: Context): Promise<void> {
  const { terminal } = context
  const question = {
    ...(flags.table === undefined ? {} : { table: flags.table }),
    ...(flags.where === undefined ? {} : { where: flags.where }),
  }
  using interrupt = onInterrupt()
  const { signal } = interrupt
  const parts = partsOf(flags, context, '/v1/admin/logs/tail', question, async function* (place) {
    yield* queriesOf(await import('@forebay/edge/store'), place).tail(question, signal)
  })
  let columns: readonly LogColumn[] = []
  for await (const part of untilAborted(parts, signal)) {
    if (part.columns !== undefined) {
      columns = part.columns
      if (terminal.attended) terminal.say(`Following ${flags.table ?? 'access'}. Ctrl-C ends it.`)
    }
    for (const row of part.rows ?? []) {
      const object = objectOf(columns, row)
      terminal.data(flags.json ? inertJson(object) : tailLine(object))
    }
  }
  if (signal.aborted) process.exit(EXIT.ok)
}

/** Ends at once, also while the next part is waited for; the process ends after it. */
async function* untilAborted<T>(parts: AsyncGenerator<T>, signal: AbortSignal): AsyncGenerator<T> {
  const aborted = new Promise<{ done: true; value: undefined }>((done) => {
    signal.addEventListener('abort', () => done({ done: true, value: undefined }), { once: true })
  })
  for (;;) {
    const asked = parts.next()
    // What comes after the abort is its consequence.
    asked.catch(() => {})
    const next = await Promise.race([aborted, asked])
    if (next.done) return
    yield next.value
  }
}

/** From the gateway, or from where the rows are. */
async function* partsOf(
  flags: PlaceFlags,
  context: Context,
  path: string,
  question: object,
  read: (place: LogsPlace) => AsyncIterable<Part>,
): AsyncGenerator<Part> {
  if (flags.dir !== undefined) {
    yield* explained(read({ dir: resolve(flags.dir) }))
    return
  }
  const ask: AdminAsk = {
    ...{ method: 'POST', path, contentType: 'application/json' },
    body: Buffer.from(JSON.stringify(question)),
  }
  const given = flags.url ?? context.environment.url
  const options = given === undefined ? requireConfig(context, flags).options : null
  const url = options === null ? given : urlOf(options)
  let answered = false
  try {
    for await (const line of openGateway(url === undefined ? {} : { url }, context).lines(ask)) {
      answered = true
      yield line as Part
    }
  } catch (thrown) {
    const isAway = thrown instanceof CommandError && thrown.exitCode === EXIT.notConnected && !answered
    if (!isAway || options === null) throw thrown
    const place = logsPlace(options)
    if ('dir' in place && !existsSync(place.dir)) throw thrown
    yield* explained(read(place))
  }
}

async function* explained(parts: AsyncIterable<Part>): AsyncGenerator<Part> {
  try {
    yield* parts
  } catch (thrown) {
    if (!(thrown instanceof ForebayError)) throw thrown
    throw new CommandError(EXIT.failed, thrown.message, { code: thrown.code, cause: thrown })
  }
}

function readDuration(text: string): number {
  const ms = parseDuration(text)
  if (ms === null || ms <= 0) throw new InvalidArgumentError('Write a duration, as 30s, 2h or 7d.')
  return ms
}

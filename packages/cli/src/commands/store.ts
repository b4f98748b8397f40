import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import type { Store } from '@forebay/server'
import { type ServerOptions, storeAddress } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { tableLines } from '../table.ts'
import { openBroker, openStore } from '../up/compose.ts'
import { createLogger } from '../up/logger.ts'

interface StoreFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

interface RebuildFlags extends StoreFlags {
  readonly yes?: boolean
}

export function registerStore(program: Command, context: Context): void {
  const store = program.command('store').description('Looks after the store: checks it, fills it again from the log.')
  withConfigFlags(store.command('check'))
    .description(
      'Opens the store and the log, and says how far the one is behind the other and what it cannot promise.',
    )
    .option('--json', 'one JSON object, on stdout')
    .addHelpText('after', CHECK_EXAMPLES)
    .action((flags: StoreFlags) => check(flags, context))
  withConfigFlags(store.command('rebuild'))
    .description(
      'Forgets results and notes, and reads them again from the log. Idempotency keys and parked tasks stay. ' +
        'Without --yes only says what it would do.',
    )
    .option('-y, --yes', 'do it')
    .option('--json', 'one JSON object, on stdout')
    .addHelpText('after', REBUILD_EXAMPLES)
    .action((flags: RebuildFlags) => rebuild(flags, context))
}

const IN_USE = `
What is embedded belongs to the process that runs on it: stop that first. PostgreSQL, Redis and Kafka are asked while
others work with them.`

const CHECK_EXAMPLES = `
Examples:
  forebay store check
  FOREBAY_STORE=postgres://forebay@db/forebay forebay store check --set broker=kafka://kafka:9092 --json
${IN_USE}`

const REBUILD_EXAMPLES = `
Examples:
  forebay store rebuild                           how much would be read again
  forebay store rebuild --yes

Until it is done, tasks whose results have not been read again answer as pending. Results that the log keeps no more
(\`retention\`) do not come back.
${IN_USE}`

async function check(flags: StoreFlags, context: Context): Promise<void> {
  const { options } = requireConfig(context, flags)
  const { terminal } = context
  await withBoth(options, context, async (broker, store) => {
    const { recordsMissing, storedPartitions } = await import('@forebay/server')
    const partitions = await storedPartitions(broker, store)
    const missing = recordsMissing(partitions)
    const { name, shared, cannot } = store.capabilities
    if (flags.json) {
      terminal.data(JSON.stringify({ store: name, address: addressOf(options), shared, cannot, missing, partitions }))
      return
    }
    terminal.data(`${titleOf(options)} answers; ${missing === 0 ? 'it has all results of the log' : told(missing)}.`)
    const rows = partitions.map(({ partition, position, start, end }) => [
      String(partition),
      position === null ? 'nothing' : String(position),
      String(start),
      String(end),
    ])
    if (rows.length > 0) {
      for (const line of tableLines(['PARTITION', 'STORED UP TO', 'LOG FROM', 'LOG TO'], rows)) terminal.data(line)
    }
    for (const sentence of cannot) terminal.say(`${terminal.style('yellow', 'note')}  ${sentence}`)
  })
}

async function rebuild(flags: RebuildFlags, context: Context): Promise<void> {
  const { options } = requireConfig(context, flags)
  const { terminal } = context
  await withBoth(options, context, async (broker, store) => {
    const { createMetrics, rebuildStore, storedPartitions } = await import('@forebay/server')
    const partitions = await storedPartitions(broker, store)
    if (!flags.yes) {
      const records = partitions.reduce((sum, { start, end }) => sum + end - start, 0)
      if (flags.json) terminal.data(JSON.stringify({ done: false, records }))
      else terminal.data(`${records} records of results would be read again into ${titleOf(options)}.`)
      terminal.say('Nothing was done: add --yes to do it.')
      return
    }
    const telemetry = { log: createLogger(terminal, 'warn'), metrics: createMetrics() }
    const parts = { broker, store, clock: systemClock, random: systemRandom, telemetry }
    const { records } = await rebuildStore(parts, (missing) => terminal.say(`${missing} to go…`))
    if (flags.json) terminal.data(JSON.stringify({ done: true, records }))
    else terminal.data(`${titleOf(options)} has all results of the log again: ${records} records were read.`)
  })
}

/** Opens the log and the store, and closes both. */
async function withBoth(
  options: ServerOptions,
  { terminal }: Context,
  work: (broker: Broker, store: Store) => Promise<void>,
): Promise<void> {
  const broker = await openBroker(options, createLogger(terminal, 'warn'))
  const store = await openStore(options)
  try {
    await broker.open({ topics: [] })
    await store.open()
    await work(broker, store)
  } catch (error) {
    throw explainInUse(error, options)
  } finally {
    await store.close()
    await broker.close()
  }
}

function explainInUse(error: unknown, { dataDir }: ServerOptions): unknown {
  if (!(error instanceof Error) || (error as { code?: string }).code !== 'DATA_IN_USE') return error
  return new CommandError(EXIT.failed, `What is in ${dataDir} belongs to a forebay that is running.`, {
    code: 'DATA_IN_USE',
    fix: ['Stop it first. It says itself, at /readyz, whether its store is behind.'],
    cause: error,
  })
}

function told(missing: number): string {
  return `${missing} ${missing === 1 ? 'record' : 'records'} of the log ${missing === 1 ? 'is' : 'are'} not in it yet`
}

function titleOf({ store, dataDir }: ServerOptions): string {
  if (store.kind === 'embedded') return `The store in ${dataDir}`
  return `${store.kind === 'postgres' ? 'PostgreSQL' : 'Redis'} at ${storeAddress(store.url)}`
}

function addressOf({ store, dataDir }: ServerOptions): string {
  return store.kind === 'embedded' ? dataDir : storeAddress(store.url)
}

import { existsSync } from 'node:fs'
import type { Broker, PartitionState } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol/errors'
import { dispatchGroup, formatAddress, type QueueOptions, type ServerOptions } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { tableLines } from '../table.ts'
import { logFolder, openBroker } from '../up/compose.ts'
import { createLogger } from '../up/logger.ts'

interface QueuesFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

/** Records are tasks; a task counts as waiting until its result is durable. */
interface QueueState {
  readonly queue: string
  readonly topic: string
  /** null while the topic has not been made. */
  readonly partitions: number | null
  readonly kept: number
  readonly waiting: number
}

export function registerQueues(program: Command, context: Context): void {
  withConfigFlags(program.command('queues'))
    .description('Lists the queues: topic, partitions, tasks kept and tasks without a result.')
    .option('--json', 'one JSON object a queue, on stdout')
    .addHelpText('after', EXAMPLES)
    .action((flags: QueuesFlags) => queues(flags, context))
}

const EXAMPLES = `
Examples:
  forebay queues
  forebay queues --set broker=kafka://127.0.0.1:9092 --json

It asks the log directly. The embedded log belongs to the process that runs on it: stop that first, or read its
/metrics.`

async function queues(flags: QueuesFlags, context: Context): Promise<void> {
  const { options } = requireConfig(context, flags)
  if (options.queues.size === 0) {
    context.terminal.say('No queues are configured.')
    return
  }
  for (const line of show(await readStates(options, context), flags.json ?? false)) context.terminal.data(line)
}

async function readStates(options: ServerOptions, { terminal }: Context): Promise<QueueState[]> {
  const queues = [...options.queues.values()]
  if (options.broker.kind === 'embedded' && !existsSync(logFolder(options))) {
    return queues.map((queue) => stateOf(queue, []))
  }
  const broker = await openBroker(options, createLogger(terminal, 'warn'))
  try {
    await broker.open({ topics: [] })
    return await Promise.all(queues.map(async (queue) => stateOf(queue, await inspect(broker, queue))))
  } catch (error) {
    throw explainInUse(error, options)
  } finally {
    await broker.close()
  }
}

function inspect(broker: Broker, queue: QueueOptions): Promise<readonly PartitionState[]> {
  return broker.inspect({ topics: [queue.topic], group: dispatchGroup(queue.name) })
}

function stateOf({ name, topic }: QueueOptions, partitions: readonly PartitionState[]): QueueState {
  let kept = 0
  let waiting = 0
  for (const { start, end, committed } of partitions) {
    kept += end - start
    waiting += end - Math.max(start, committed ?? start)
  }
  return { queue: name, topic, partitions: partitions.length === 0 ? null : partitions.length, kept, waiting }
}

function show(states: readonly QueueState[], json: boolean): readonly string[] {
  if (json) return states.map((state) => JSON.stringify(state))
  return tableLines(
    ['QUEUE', 'TOPIC', 'PARTITIONS', 'KEPT', 'WAITING'],
    states.map(({ queue, topic, partitions, kept, waiting }) => [
      queue,
      topic,
      partitions === null ? 'not made yet' : String(partitions),
      String(kept),
      String(waiting),
    ]),
  )
}

function explainInUse(error: unknown, options: ServerOptions): unknown {
  if (!(error instanceof ForebayError) || error.code !== 'DATA_IN_USE') return error
  const url = `http://${formatAddress(options.http)}/metrics`
  return new CommandError(EXIT.failed, `The log in ${options.dataDir} belongs to a forebay that is running.`, {
    code: 'DATA_IN_USE',
    fix: [
      `curl -s ${url} | grep ^forebay_    says what its queues do.`,
      'Or stop it first. A Kafka log can be looked at while it runs.',
    ],
    cause: error,
  })
}

import { type Broker, type ListenRequest, type PartitionState, systemClock } from '@forebay/broker'
import type { EncodedEvent } from '@forebay/protocol/cloudevents'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { eventJson, eventLine, type Seen, seen } from '../events/event-lines.ts'
import { ABOUT_LOG, type LogFlags, openLog, withLogFlags } from '../events/open-log.ts'
import { collect, readCount, readFrom } from '../events/when.ts'
import { partitionsOf, type Subject, subjectsOf } from '../events/which-topics.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { onInterrupt } from '../interrupt.ts'

interface TailFlags extends LogFlags {
  readonly from?: Exclude<ListenRequest['from'], number>
  readonly where: readonly string[]
  readonly limit?: number
  readonly follow: boolean
  readonly json?: boolean
}

export function registerEventsTail(events: Command, context: Context): void {
  withLogFlags(events.command('tail'))
    .argument('[topics...]', 'topics, or events by their names; default: all events of the configuration')
    .description('Prints events as they come, one a line: time, type, key, id, data. Ctrl-C ends it.')
    .option('--from <time>', 'begin then: earliest, 5m (ago), or 2026-11-21T08:00:00Z; default: now', readFrom)
    .option(
      '-w, --where <attribute=value>',
      'only with this attribute, as type=account_created; may be repeated',
      collect,
      [],
    )
    .option('-n, --limit <count>', 'end after so many', readCount)
    .option('--no-follow', 'end at what is there now')
    .option('--json', 'one JSON object an event, on stdout')
    .addHelpText('after', EXAMPLES)
    .action((names: readonly string[], flags: TailFlags) => tail(names, flags, context))
}

const EXAMPLES = `
Examples:
  forebay events tail
  forebay events tail account_created --from 5m
  forebay events tail accounts --broker kafka://127.0.0.1:9092 --from earliest --no-follow --json
  forebay events tail accounts --where key=u-1 --where type=account_created

Events of one partition come in its order, so those of one key do. Tailing takes part in no group: no position is moved.
${ABOUT_LOG}`

async function tail(names: readonly string[], flags: TailFlags, context: Context): Promise<void> {
  const { terminal } = context
  const meets = readConditions(flags.where)
  await using log = await openLog(flags, context)
  using interrupt = onInterrupt()
  const { subjects, partitions } = await partitionsOf(log.broker, subjectsOf(names, log.options))
  const ended = new AbortController()
  const signal = AbortSignal.any([interrupt.signal, ended.signal])
  let shown = 0

  const readers = partitions.map((partition) => read(log.broker, partition, flags, signal, show))
  if (flags.follow && terminal.attended) terminal.say(`Following ${subjects.map(titleOf).join(', ')}. Ctrl-C ends it.`)
  try {
    await Promise.all(readers)
  } finally {
    ended.abort()
    await Promise.allSettled(readers)
  }

  function show(one: Seen): void {
    if (ended.signal.aborted || !isMeant(one, subjects) || !meets(one)) return
    terminal.data(flags.json ? eventJson(one) : eventLine(one))
    shown++
    if (shown === flags.limit) ended.abort()
  }
}

/** Until the end of what was there, or of the patience. */
async function read(
  broker: Broker,
  partition: PartitionState,
  { from, follow }: TailFlags,
  signal: AbortSignal,
  show: (one: Seen) => void,
): Promise<void> {
  if (!follow) {
    const { readPartition } = await import('@forebay/server/dead')
    try {
      const records = readPartition({ broker, clock: systemClock }, partition, signal, from ?? 'earliest')
      for await (const batch of records) for (const record of batch) show(seen(record))
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
    return
  }
  if (signal.aborted) return
  const listener = await broker.listen({
    topic: partition.topic,
    partition: partition.partition,
    from: from ?? 'latest',
  })
  const close = () => void listener.close()
  signal.addEventListener('abort', close, { once: true })
  if (signal.aborted) close()
  try {
    for await (const batch of listener) for (const record of batch) show(seen(record))
  } finally {
    signal.removeEventListener('abort', close)
    await listener.close()
  }
}

/** A topic that was named by an event shows only that one, unless the topic is named too. */
function isMeant({ record, event }: Seen, subjects: readonly Subject[]): boolean {
  return subjects.some(({ topic, type }) => {
    if (topic !== record.topic) return false
    return type === null || (typeof event === 'object' && event.type === type)
  })
}

function titleOf({ topic, type }: Subject): string {
  return type === null ? topic : `${type} (${topic})`
}

/** All must be met; what is no event has no attributes. */
function readConditions(texts: readonly string[]): (one: Seen) => boolean {
  const conditions = texts.map((text) => {
    const [, name, value] = /^([a-z0-9]{1,64})=(.*)$/s.exec(text) ?? []
    if (name !== undefined && value !== undefined) return { name, value }
    throw new CommandError(EXIT.usage, `--where ${text} names no attribute and value.`, {
      fix: ['Write --where type=account_created; also id, source, subject, key, or an extension.'],
    })
  })
  return ({ event }) =>
    conditions.every(({ name, value }) => typeof event === 'object' && attributeOf(event, name) === value)
}

function attributeOf(event: EncodedEvent, name: string): string | null {
  switch (name) {
    case 'id':
    case 'source':
    case 'type':
    case 'subject':
      return event[name]
    case 'key':
    case 'partitionkey':
      return event.key
    case 'version':
    case 'dataversion':
      return String(event.version)
    default:
      return event.extensions[name] ?? null
  }
}

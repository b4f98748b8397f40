import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { type Broker, systemClock } from '@forebay/broker'
import { ATTRIBUTE_NAME, ATTRIBUTES, type EncodedEvent, structuredText, toRecord } from '@forebay/protocol/cloudevents'
import { ForebayError } from '@forebay/protocol/errors'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { inertJson } from '../events/event-lines.ts'
import { ABOUT_LOG, type LogFlags, openLog, withLogFlags } from '../events/open-log.ts'
import { collect, readCount } from '../events/when.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { openGateway, URL_FLAG } from '../gateway.ts'
import { isJson } from '../request-body.ts'

interface PublishFlags extends LogFlags {
  readonly data?: string
  readonly key?: string
  readonly id?: string
  readonly source: string
  readonly subject?: string
  readonly version: number
  readonly contentType?: string
  readonly extension: readonly string[]
  readonly topic?: string
  readonly url?: string
  readonly json?: boolean
}

/** As the gateway tells of it, and as we do of what went to a log directly. */
interface Place {
  readonly id: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export function registerEventsPublish(events: Command, context: Context): void {
  withLogFlags(events.command('publish'))
    .argument('<name>', 'of the event: the type of the CloudEvent')
    .description(
      'Publishes an event through a gateway, or with --broker or --server to a log. Prints its place and id.',
    )
    .option('-d, --data <json>', 'its data: JSON or text, @FILE, or - for stdin; default: none')
    .option('-k, --key <key>', 'ordering key')
    .option('--id <id>', 'of the event; the same again is the same event again. Default: a new UUID')
    .option('--source <uri>', 'who publishes it', '/forebay-cli')
    .option('--subject <text>', 'what it is about')
    .option('--version <number>', "version of the data's schema", readCount, 1)
    .option('-t, --content-type <type>', 'of the data; default: application/json if it is JSON, else text or bytes')
    .option('-x, --extension <name=value>', 'an extension attribute; may be repeated', collect, [])
    .option('--topic <topic>', 'with --broker or --server; default: that of the configuration, or forebay.events.NAME')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', EXAMPLES)
    .action((name: string, flags: PublishFlags) => publish(name, flags, context))
}

const EXAMPLES = `
Examples:
  forebay events publish account_created --data '{"userId":"u-1"}' --key u-1
  forebay events publish account_created --data @account.json --url http://gateway:8080
  forebay events publish clicked --broker kafka://127.0.0.1:9092 --topic clicks

A gateway takes events of its configuration, checked against their schemas; a log takes anything.
${ABOUT_LOG}`

async function publish(name: string, flags: PublishFlags, context: Context): Promise<void> {
  const event = await eventOf(name, flags)
  const direct = flags.broker !== undefined || flags.server !== undefined
  const place = direct ? await toLog(event, flags, context) : await toGateway(event, flags, context)
  const { id, topic, partition, offset } = place
  context.terminal.data(
    flags.json ? inertJson({ id, topic, partition, offset }) : `${topic}/${partition}/${offset}  ${id}`,
  )
}

async function eventOf(name: string, flags: PublishFlags): Promise<EncodedEvent> {
  const bytes = await dataOf(flags.data)
  return {
    id: flags.id ?? randomUUID(),
    source: flags.source,
    type: name,
    version: flags.version,
    key: flags.key ?? null,
    timeMs: systemClock.wallMs(),
    subject: flags.subject ?? null,
    traceparent: null,
    tracestate: null,
    extensions: extensionsOf(flags.extension),
    bytes,
    contentType: flags.contentType ?? typeOf(bytes),
    dataSchema: null,
  }
}

async function dataOf(given: string | undefined): Promise<Uint8Array> {
  if (given === undefined) return new Uint8Array()
  if (given === '-') return buffer(process.stdin)
  if (!given.startsWith('@')) return Buffer.from(given)
  try {
    return readFileSync(given.slice(1))
  } catch (cause) {
    throw new CommandError(EXIT.usage, `The file ${given.slice(1)} cannot be read.`, { cause })
  }
}

function typeOf(bytes: Uint8Array): string {
  if (bytes.length === 0 || isJson(bytes)) return 'application/json'
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return 'text/plain; charset=utf-8'
  } catch {
    return 'application/octet-stream'
  }
}

function extensionsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const [, name, value] = /^([^=]+)=(.+)$/s.exec(text) ?? []
      if (name !== undefined && value !== undefined && ATTRIBUTE_NAME.test(name) && !ATTRIBUTES.has(name))
        return [name, value]
      throw new CommandError(EXIT.usage, `--extension ${text} is no extension attribute.`, {
        fix: ['Write --extension tenant=blue: lower-case letters and digits, and no name of an attribute.'],
      })
    }),
  )
}

async function toGateway(event: EncodedEvent, flags: PublishFlags, context: Context): Promise<Place> {
  const body = Buffer.from(structuredText(event))
  const ask = { method: 'POST', path: '/v1/events', body, contentType: 'application/cloudevents+json' } as const
  try {
    const answer = (await openGateway(flags, context).json(ask)) as { readonly events: readonly [Place] }
    return answer.events[0]
  } catch (thrown) {
    throw withId(thrown, event)
  }
}

async function toLog(event: EncodedEvent, flags: PublishFlags, context: Context): Promise<Place> {
  await using log = await openLog(flags, context)
  const configured = log.options.events.get(event.type)
  const topic = flags.topic ?? configured?.topic ?? `forebay.events.${event.type}`
  await mustExist(log.broker, topic)
  try {
    const [position] = await log.broker.publish([toRecord(event, topic)])
    return { id: event.id, ...position! }
  } catch (thrown) {
    throw withId(thrown, event)
  }
}

/** A name that is misspelt should not leave a topic behind. */
async function mustExist(broker: Broker, topic: string): Promise<void> {
  const partitions = await broker.inspect({ topics: [topic] })
  if (partitions.length > 0) return
  throw new CommandError(EXIT.notFound, `The log has no topic ${topic}.`, {
    fix: ['It is made by whoever publishes or consumes first, or by a server that names the event under `events`.'],
  })
}

/** Where it is open whether the log has it, the same id does no harm. */
function withId(thrown: unknown, { id }: EncodedEvent): unknown {
  const isOpen = (code: unknown) => code === 'OUTCOME_UNKNOWN'
  if (thrown instanceof CommandError) {
    if (!isOpen(thrown.code) && thrown.exitCode !== EXIT.notConnected) return thrown
    return new CommandError(thrown.exitCode, thrown.message, {
      ...(thrown.code === null ? {} : { code: thrown.code }),
      fix: [...thrown.fix, again(id)],
      cause: thrown,
    })
  }
  if (!(thrown instanceof ForebayError) || !isOpen(thrown.code)) return thrown
  return new CommandError(EXIT.failed, thrown.message, { code: thrown.code, fix: [again(id)], cause: thrown })
}

function again(id: string): string {
  return `Again with --id ${id}: consumers take the same id as the same event.`
}

import type { DescribedEvent, EventReport } from '@forebay/events'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { type EventsRead, readEvents } from '../events/read-events.ts'
import { CommandError, EXIT } from '../exit-codes.ts'

interface CheckFlags {
  readonly against?: string
  readonly namedOnly?: boolean
  readonly json?: boolean
}

export function registerEventsCheck(events: Command, context: Context): void {
  events
    .command('check')
    .argument('<old>', 'what is in use; with --against: what is to be')
    .argument('[new]', 'what is to be in its place')
    .description('Says what a change of events breaks for whom; exit code 1 if it does, or if that cannot be decided.')
    .option('--against <file>', 'what is in use, where only one is named: the same as `check FILE NEW`')
    .option('--named-only', 'producers send no members but those that their schema names')
    .option('--json', 'one JSON object an event, on stdout')
    .addHelpText('after', EXAMPLES)
    .action((old: string, now: string | undefined, flags: CheckFlags) => check(old, now, flags, context))
}

const EXAMPLES = `
Examples:
  forebay events check src/accounts.ts --against asyncapi.json
  forebay events check schemas-of-main/ schemas/ --named-only
  forebay events check order_paid.json order_paid.new.json --json

Each of the two is a module that exports definitions, an AsyncAPI 3 document, a schema (.json, .avsc, .proto), or a folder
of schemas whose names tell event and version: order_paid.v2.json. A module is imported, so it runs.`

async function check(first: string, second: string | undefined, flags: CheckFlags, context: Context): Promise<void> {
  const [old, now] = flags.against === undefined ? [first, second] : [flags.against, second ?? first]
  if (now === undefined || (flags.against !== undefined && second !== undefined)) {
    throw new CommandError(EXIT.usage, 'Name two: OLD and NEW, or NEW and --against OLD.')
  }
  const { checkEvents } = await import('@forebay/events')
  const [before, after] = [await readEvents(old), await readEvents(now)]
  const { compatible, events } = checkEvents(sameName(before, after), after.events, {
    namedOnly: flags.namedOnly ?? false,
  })
  const { terminal } = context
  if (flags.json) for (const event of events) terminal.data(JSON.stringify(event))
  else for (const line of events.flatMap(linesOf)) terminal.data(line)
  const broken = events.filter(({ breaks }) => breaks.length > 0).length
  terminal.say(compatible ? `${events.length} compatible.` : `${broken} of ${events.length} would break somebody.`)
  if (!compatible) context.exitWith(EXIT.failed)
}

/** Two schemas that are named alone are of one event, whatever their files are called. */
function sameName(before: EventsRead, after: EventsRead): readonly DescribedEvent[] {
  if (!before.isOneSchema || !after.isOneSchema) return before.events
  const { name, version } = after.events[0]!
  return before.events.map((event) => ({ ...event, name, version }))
}

function linesOf({ name, version, state, changes, breaks, notes }: EventReport): readonly string[] {
  const verdict = breaks.length > 0 ? 'breaks' : state === 'changed' ? 'changed, compatible' : state
  return [
    `${name} v${version}  ${verdict}`,
    ...changes.map((change) => `  ${change}`),
    ...breaks.map(({ direction, path, message }) => `  ${direction}  ${path === '' ? '/' : path}  ${message}`),
    ...notes.map((note) => `  note: ${note}`),
  ]
}

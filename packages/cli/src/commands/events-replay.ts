import type { ReplayReport } from '@forebay/events'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { inertJson } from '../events/event-lines.ts'
import { type GroupFlags, openGroupLog } from '../events/group-log.ts'
import { ABOUT_LOG, withLogFlags } from '../events/open-log.ts'
import { collect, readFrom, readRate, readWhen, type TimeMs } from '../events/when.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { onInterrupt } from '../interrupt.ts'
import { printable } from '../printable.ts'
import { tableLines } from '../table.ts'

interface ReplayFlags extends GroupFlags {
  readonly from: 'earliest' | TimeMs
  readonly to?: TimeMs
  readonly type: readonly string[]
  readonly key: readonly string[]
  readonly rate?: number
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerEventsReplay(events: Command, context: Context): void {
  withLogFlags(events.command('replay'))
    .argument('[topics...]', 'topics, or events by their names; default: all events of the configuration')
    .description('Gives old events to one group again, and to no other. Without --yes only counts them.')
    .requiredOption('-g, --group <group>', 'whose consumers get them')
    .requiredOption(
      '--from <time>',
      'what the log took from then on: earliest, 2h (ago), or 2026-11-21T08:00:00Z',
      readFrom,
    )
    .option('--to <time>', 'only what it took before then', readWhen)
    .option('--type <name>', 'only events of this name; may be repeated', collect, [])
    .option('-k, --key <key>', 'only with this ordering key; may be repeated', collect, [])
    .option('--rate <count>', 'events a second; 500 by default', readRate)
    .option('--dry-run', 'only count them')
    .option('-y, --yes', 'do it')
    .option('--json', 'one JSON object, on stdout')
    .addHelpText('after', EXAMPLES)
    .action((names: readonly string[], flags: ReplayFlags) => replay(names, flags, context))
}

const EXAMPLES = `
Examples:
  forebay events replay account_created --group mail-service --from 2h
  forebay events replay account_created --group mail-service --from 2h --key u-1 --yes
  forebay events replay accounts --group search --from earliest --rate 2000 --yes --broker kafka://127.0.0.1:9092

The copies have the ids of the events: an inbox of the group passes over what it has seen. A second run gives everything a
second time. Ctrl-C stops it; what was copied is copied.
${ABOUT_LOG}`

async function replay(names: readonly string[], flags: ReplayFlags, context: Context): Promise<void> {
  const { terminal } = context
  const { replayEvents } = await import('@forebay/events')
  await using group = await openGroupLog(names, flags, context)
  using interrupt = onInterrupt()
  const dryRun = flags.dryRun === true || flags.yes !== true
  const types = flags.type.length > 0 ? flags.type : group.types
  let last: ReplayReport = { replayed: 0, types: {}, tooLarge: 0 }
  try {
    last = await replayEvents({
      broker: group.log,
      group: flags.group,
      topics: group.topics,
      from: flags.from,
      ...(flags.to === undefined ? {} : { to: flags.to }),
      ...(types.length === 0 ? {} : { types }),
      ...(flags.key.length === 0 ? {} : { keys: flags.key }),
      ...(flags.rate === undefined ? {} : { ratePerSecond: flags.rate }),
      dryRun,
      signal: interrupt.signal,
      onProgress(report) {
        last = report
        if (!dryRun && terminal.attended && flags.json !== true) terminal.say(sum(report))
      },
    })
  } catch (thrown) {
    if (!interrupt.signal.aborted) throw thrown
    throw new CommandError(EXIT.interrupted, `Stopped: ${sum(last)}.`, {
      fix: ['The same command begins anew: --from says from when on.'],
    })
  }
  if (flags.json) terminal.data(inertJson({ done: !dryRun, ...last }))
  else if (dryRun) showDryRun(last, flags.group, context)
  else terminal.data(sum(last))
  if (dryRun && flags.dryRun !== true) {
    terminal.say('Nothing was done: add --yes to do it.')
    context.exitWith(EXIT.usage)
  }
}

function showDryRun(report: ReplayReport, group: string, { terminal }: Context): void {
  const rows = Object.entries(report.types).map(([type, count]) => [printable(type === '' ? '-' : type), String(count)])
  if (rows.length > 0) for (const line of tableLines(['TYPE', 'EVENTS'], rows)) terminal.data(line)
  terminal.say(`Would give ${report.replayed} events to ${group} again${leftOut(report)}.`)
}

function sum(report: ReplayReport): string {
  return `${report.replayed} replayed${leftOut(report)}`
}

function leftOut({ tooLarge }: ReplayReport): string {
  return tooLarge === 0 ? '' : `, ${tooLarge} left out (too large for the log with the place where they were found)`
}

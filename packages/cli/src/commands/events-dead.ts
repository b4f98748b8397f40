import { userInfo } from 'node:os'
import type { EventDeadLetters, EventLetter, EventLetterFilter, LetterChoice } from '@forebay/events'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { eventLine, inertJson, seen } from '../events/event-lines.ts'
import { type GroupFlags, openGroupLog } from '../events/group-log.ts'
import { ABOUT_LOG, withLogFlags } from '../events/open-log.ts'
import { collect, readCount, readRate, readWhen, type TimeMs } from '../events/when.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { onInterrupt } from '../interrupt.ts'
import { printable } from '../printable.ts'
import { tableLines } from '../table.ts'

interface OneFlags extends GroupFlags {
  readonly json?: boolean
}

interface FilterFlags extends OneFlags {
  readonly topic: readonly string[]
  readonly type?: string
  readonly code?: string
  readonly key?: string
  readonly id?: string
  readonly since?: TimeMs
  readonly until?: TimeMs
  readonly limit?: number
}

interface ListFlags extends FilterFlags {
  readonly state?: string
}

interface RunFlags extends FilterFlags {
  readonly all?: boolean
  readonly reason?: string
  readonly by?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
}

interface RedriveFlags extends RunFlags {
  readonly rate?: number
  readonly force?: boolean
}

export function registerEventsDead(events: Command, context: Context): void {
  const dead = events
    .command('dead')
    .description('Shows dead letters of a group, and gives them to it again or closes them.')
  withFilterFlags(dead.command('list'))
    .description('Lists dead letters of a group, newest first.')
    .option('--state <state>', 'open (the default), redriven, discarded or any')
    .addHelpText('after', LIST_EXAMPLES)
    .action((flags: ListFlags) => list(flags, context))
  withGroupFlags(dead.command('show'))
    .argument('<letter>', "its name in the list, as 'accounts/0/17'")
    .description('Shows one dead letter: why it died, each attempt, what was done with it, the event.')
    .addHelpText('after', SHOW_EXAMPLES)
    .action((letter: string, flags: OneFlags) => show(letter, flags, context))
  withRunFlags(dead.command('redrive'))
    .description('Gives dead letters to their group again, with all attempts anew. Without --yes only counts them.')
    .option('--rate <count>', 'letters a second; 50 by default', readRate)
    .option('--force', 'also those that were redriven three times already')
    .addHelpText('after', REDRIVE_EXAMPLES)
    .action((letters: readonly string[], flags: RedriveFlags) => run('redrive', letters, flags, context))
  withRunFlags(dead.command('discard'))
    .description('Closes dead letters for good; they stay readable. Without --yes only counts them.')
    .addHelpText('after', DISCARD_EXAMPLES)
    .action((letters: readonly string[], flags: RunFlags) => run('discard', letters, flags, context))
}

const LIST_EXAMPLES = `
Examples:
  forebay events dead list --group mail-service
  forebay events dead list --group mail-service --topic accounts --code WORKER_FAILED --since 2h
  forebay events dead list --group mail-service --state any --key u-1 --json

Each question reads the topics of dead letters from their start.
${ABOUT_LOG}`

const SHOW_EXAMPLES = `
Example:
  forebay events dead show accounts/0/17 --group mail-service
${ABOUT_LOG}`

const REDRIVE_EXAMPLES = `
Examples:
  forebay events dead redrive --group mail-service --code WORKER_FAILED --since 2h
  forebay events dead redrive --group mail-service --code WORKER_FAILED --since 2h --rate 20 --yes --reason 'mail is back'
  forebay events dead redrive accounts/0/17 --group mail-service --yes

Ctrl-C stops a run; the same command goes on where it was.
${ABOUT_LOG}`

const DISCARD_EXAMPLES = `
Examples:
  forebay events dead discard --group mail-service --key test-user
  forebay events dead discard accounts/0/17 --group mail-service --yes --reason 'done by hand'
${ABOUT_LOG}`

function withGroupFlags(command: Command): Command {
  return withLogFlags(command)
    .requiredOption('-g, --group <group>', 'whose dead letters')
    .option('--json', 'JSON objects on stdout')
}

function withFilterFlags(command: Command): Command {
  return withGroupFlags(command)
    .option(
      '--topic <topic>',
      'only of this topic, or event; may be repeated; default: all of the configuration',
      collect,
      [],
    )
    .option('--type <name>', 'only events of this name')
    .option('--code <code>', 'only of this error class, as WORKER_FAILED')
    .option('-k, --key <key>', 'only with this ordering key')
    .option('--id <id>', 'only of the event with this id')
    .option('--since <time>', 'only what died from then on: 2h (ago), or 2026-11-21T08:00:00Z', readWhen)
    .option('--until <time>', 'only what died before then', readWhen)
    .option('-n, --limit <count>', 'at most so many', readCount)
}

function withRunFlags(command: Command): Command {
  return withFilterFlags(command)
    .argument('[letters...]', "names in the list, as 'accounts/0/17'; or say which by flags")
    .option('--all', 'everything that is open')
    .option('--reason <text>', 'why, for those who look later')
    .option('--by <name>', 'who does it; default: the name of your account here')
    .option('--dry-run', 'only count them')
    .option('-y, --yes', 'do it')
}

const COLUMNS = ['LETTER', 'TYPE', 'KEY', 'CODE', 'ATTEMPTS', 'REDRIVES', 'DIED', 'STATE', 'WHY']
const WHY_MAX = 60
const STATES = ['open', 'redriven', 'discarded', 'any'] as const

async function list(flags: ListFlags, context: Context): Promise<void> {
  const { terminal } = context
  const state = flags.state ?? 'open'
  if (!isState(state)) {
    throw new CommandError(EXIT.usage, `--state ${state} is none.`, { fix: [`Write one of ${STATES.join(', ')}.`] })
  }
  await using opened = await openLetters(flags.topic, flags, context)
  const limit = flags.limit === undefined ? {} : { limit: flags.limit }
  const { letters, total } = await opened.letters.list({ ...filterOf(flags), state }, limit)
  if (flags.json) for (const letter of letters) terminal.data(inertJson(letter))
  else if (letters.length === 0) terminal.say('No dead letters.')
  else for (const line of tableLines(COLUMNS, letters.map(cells))) terminal.data(line)
  if (total > letters.length) terminal.say(`${letters.length} of ${total}; --limit shows more, up to 1,000.`)
}

function isState(text: string): text is (typeof STATES)[number] {
  return STATES.some((state) => state === text)
}

function cells(one: EventLetter): string[] {
  const { letter, type, key, code, attempts, redrives, atMs, state, detail } = one
  const counts = [String(attempts), String(redrives)]
  const why = printable(detail).slice(0, WHY_MAX)
  return [letter, printable(type ?? '-'), printable(key ?? '-'), code, ...counts, moment(atMs), state, why]
}

async function show(name: string, flags: OneFlags, context: Context): Promise<void> {
  const { terminal } = context
  await using opened = await openLetters([topicOf(name)], flags, context)
  const { record, ...letter } = await opened.letters.show(name)
  const { key, value, headers } = record
  if (flags.json) {
    const texts = headers.map(([header, text]) => [header, Buffer.from(text).toString()])
    const bytes = { key: key === null ? null : Buffer.from(key).toString(), value: base64(value), headers: texts }
    terminal.data(inertJson({ ...letter, record: bytes }))
    return
  }
  const { topic, partition, offset } = letter.origin
  terminal.data(`letter    ${name}, ${letter.state}`)
  terminal.data(`event     ${eventLine(seen(record))}`)
  terminal.data(`origin    ${topic}/${partition}/${offset}`)
  terminal.data(`died      ${moment(letter.atMs)}, after ${letter.attempts} attempts and ${letter.redrives} redrives`)
  terminal.data(`why       ${letter.code}: ${printable(letter.detail)}`)
  if (letter.cuts.length > 0) terminal.data(`missing   ${letter.cuts.map(printable).join(', ')}`)
  for (const attempt of letter.history) terminal.data(`attempt   ${inertJson(attempt)}`)
  for (const { kind, by, atMs, reason } of letter.verdicts) {
    terminal.data(
      `${kind.padEnd(10)}${moment(atMs)} by ${printable(by)}${reason === '' ? '' : `: ${printable(reason)}`}`,
    )
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('base64')
}

async function run(
  act: 'redrive' | 'discard',
  names: readonly string[],
  flags: RedriveFlags,
  context: Context,
): Promise<void> {
  const { terminal } = context
  const which = choiceOf(names, flags)
  await using opened = await openLetters(names.length > 0 ? names.map(topicOf) : flags.topic, flags, context)
  using interrupt = onInterrupt()
  const dryRun = flags.dryRun === true || flags.yes !== true
  let done = 0
  const common = {
    by: flags.by ?? userInfo().username,
    ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    dryRun,
    signal: interrupt.signal,
    onProgress(count: number) {
      done = count
      if (terminal.attended && flags.json !== true) terminal.say(`${done} ${PAST[act]}`)
    },
  }
  const rate = flags.rate === undefined ? {} : { ratePerSecond: flags.rate }
  try {
    const { letters } = opened
    const report =
      act === 'redrive'
        ? await letters.redrive(which, { ...common, ...rate, force: flags.force === true })
        : await letters.discard(which, common)
    if (flags.json) terminal.data(inertJson({ done: !dryRun, ...report }))
    else terminal.data(dryRun ? `Would ${act}: ${told(report)}.` : `${told(report)}.`)
  } catch (thrown) {
    if (!interrupt.signal.aborted) throw thrown
    throw new CommandError(EXIT.interrupted, `Stopped: ${done} ${PAST[act]}.`, {
      fix: ['The same command goes on where it was.'],
    })
  }
  if (dryRun && flags.dryRun !== true) {
    terminal.say('Nothing was done: add --yes to do it.')
    context.exitWith(EXIT.usage)
  }
}

const PAST = { redrive: 'redriven', discard: 'discarded' } as const

interface Report {
  readonly redriven?: number
  readonly discarded?: number
  readonly refused?: Readonly<Record<string, number>>
}

function told({ redriven, discarded, refused = {} }: Report): string {
  const parts = [discarded === undefined ? `${redriven} redriven` : `${discarded} discarded`]
  for (const [why, count] of Object.entries(refused)) parts.push(`${count} refused (${REFUSED[why] ?? why})`)
  return parts.join(', ')
}

const REFUSED: Readonly<Record<string, string>> = {
  generations: 'redriven three times already: --force',
  cut: 'did not fit into the log: publish it again',
}

/** "Everything" has to be said: no flags at all are more often a mistake. */
function choiceOf(letters: readonly string[], flags: RunFlags): LetterChoice {
  const filter = filterOf(flags)
  const isFiltered = Object.keys(filter).length > 0 || flags.topic.length > 0
  if (letters.length > 0) {
    if (!isFiltered && flags.all !== true) return { letters }
    throw new CommandError(EXIT.usage, 'Name letters, or say by flags which; not both.')
  }
  if (!isFiltered && flags.all !== true) {
    throw new CommandError(EXIT.usage, 'Say which letters: their names, a filter, or --all.')
  }
  return { filter, ...(flags.limit === undefined ? {} : { limit: flags.limit }) }
}

function filterOf({ type, code, key, id, since, until }: FilterFlags): Omit<EventLetterFilter, 'state' | 'topic'> {
  return {
    ...(type === undefined ? {} : { type }),
    ...(code === undefined ? {} : { code }),
    ...(key === undefined ? {} : { key }),
    ...(id === undefined ? {} : { id }),
    ...(since === undefined ? {} : { sinceMs: since.timeMs }),
    ...(until === undefined ? {} : { untilMs: until.timeMs }),
  }
}

interface OpenLetters extends AsyncDisposable {
  readonly letters: EventDeadLetters
}

async function openLetters(names: readonly string[], flags: GroupFlags, context: Context): Promise<OpenLetters> {
  const { openDeadLetters } = await import('@forebay/events')
  const group = await openGroupLog([...new Set(names)], flags, context)
  const letters = await openDeadLetters({ broker: group.log, group: flags.group, topics: group.topics })
  return { letters, [Symbol.asyncDispose]: () => group[Symbol.asyncDispose]() }
}

/** 'accounts/0/17' lies in the dead letters of 'accounts'. */
function topicOf(letter: string): string {
  const topic = /^([\w.-]+)\/\d+\/\d+$/.exec(letter)?.[1]
  if (topic !== undefined) return topic
  throw new CommandError(EXIT.usage, `${JSON.stringify(letter)} names no dead letter.`, {
    fix: ['Names are in `forebay events dead list`, as accounts/0/17.'],
  })
}

function moment(ms: number): string {
  return new Date(ms).toISOString()
}

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { openGateway, URL_FLAG, withQuery } from '../gateway.ts'
import { isJson } from '../request-body.ts'
import { tableLines } from '../table.ts'
import { type FilterFlags, parameters, withFilterFlags } from './dead-filter.ts'
import { letterPath } from './dead-show.ts'

interface RunFlags extends FilterFlags {
  readonly all?: boolean
  readonly limit?: string
  readonly reason?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

interface RedriveFlags extends RunFlags {
  readonly rate?: string
  readonly force?: boolean
  readonly edit?: string
  readonly contentType?: string
}

/** As the gateway tells of it. */
interface DryRun {
  readonly count: number
  readonly refused: Readonly<Record<string, number>>
  readonly histogram: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly oldestAt: string | null
  readonly newestAt: string | null
}

interface Progress {
  readonly done: boolean
  readonly redriven?: number
  readonly already?: number
  readonly refused?: Readonly<Record<string, number>>
  readonly discarded?: number
}

export function registerDeadRuns(dead: Command, context: Context): void {
  runFlags(dead.command('redrive'))
    .description(
      'Gives dead letters a new life: the same tasks, one generation on. Without --yes only says what it would do.',
    )
    .option('--rate <count>', 'letters a second; 50 by default')
    .option('--force', 'also those that were redriven three times already')
    .option('--edit <file>', 'one letter, with the body from this file')
    .option('-t, --content-type <type>', 'of that body; default: application/json if it is JSON, else the one it had')
    .addHelpText('after', REDRIVE_EXAMPLES)
    .action((letters: readonly string[], flags: RedriveFlags) => redrive(letters, flags, context))
  runFlags(dead.command('discard'))
    .description('Closes dead letters for good; they stay readable. Without --yes only says what it would do.')
    .addHelpText('after', DISCARD_EXAMPLES)
    .action((letters: readonly string[], flags: RunFlags) => run('discard', letters, flags, {}, context))
}

const REDRIVE_EXAMPLES = `
Examples:
  forebay dead redrive --queue orders --code TARGET_UNAVAILABLE --since 2h
  forebay dead redrive --queue orders --code TARGET_UNAVAILABLE --since 2h --rate 20 --yes --reason 'target is back'
  forebay dead redrive orders/3/17 orders/0/4 --yes
  forebay dead redrive orders/3/17 --edit body.json --yes

Ctrl-C stops a run; the same command goes on where it was.`

const DISCARD_EXAMPLES = `
Examples:
  forebay dead discard --queue orders --key test-customer
  forebay dead discard orders/3/17 --yes --reason 'done by hand'`

function runFlags(command: Command): Command {
  return withFilterFlags(command)
    .argument('[letters...]', "names in the list, as 'orders/3/17'; or say which by flags")
    .option('--all', 'everything that is open')
    .option('-n, --limit <count>', 'at most so many')
    .option('--reason <text>', 'why, for the audit')
    .option('--dry-run', 'only say what would be done')
    .option('-y, --yes', 'do it')
    .option(...URL_FLAG)
    .option('--json', 'JSON objects on stdout: the dry run, or the progress')
}

async function redrive(letters: readonly string[], flags: RedriveFlags, context: Context): Promise<void> {
  if (flags.edit !== undefined) {
    await redriveEdited(letters, flags.edit, flags, context)
    return
  }
  const { rate, force } = flags
  await run('redrive', letters, flags, { rate, force }, context)
}

async function run(
  act: 'redrive' | 'discard',
  letters: readonly string[],
  flags: RunFlags,
  more: object,
  context: Context,
): Promise<void> {
  const { terminal } = context
  const { all, limit, reason } = flags
  const chosen = letters.length === 0 ? parameters(flags) : { letters, ...parameters(flags) }
  const request = { ...chosen, all, limit, reason, ...more }
  const gateway = openGateway(flags, context)
  const ask = (dryRun: boolean) => ({
    method: 'POST' as const,
    path: `/v1/admin/dead/${act}`,
    body: new TextEncoder().encode(JSON.stringify({ ...request, dryRun })),
    contentType: 'application/json',
  })
  if (flags.dryRun || !flags.yes) {
    const dry = (await gateway.json(ask(true))) as DryRun
    if (flags.json) terminal.data(JSON.stringify(dry))
    else showDryRun(act, dry, context)
    if (!flags.dryRun) {
      terminal.say('Nothing was done: add --yes to do it.')
      context.exitWith(EXIT.usage)
    }
    return
  }
  let last: Progress | null = null
  for await (const line of gateway.lines(ask(false))) {
    last = line as Progress
    if (flags.json) terminal.data(JSON.stringify(last))
    else if (!last.done && terminal.attended) terminal.say(sum(last))
  }
  if (last?.done !== true) {
    throw new CommandError(
      EXIT.failed,
      `The gateway went away before the end${last === null ? '' : `: ${sum(last)}`}`,
      {
        fix: ['The same command goes on where it was.'],
      },
    )
  }
  if (!flags.json) terminal.data(sum(last))
}

function showDryRun(
  act: string,
  { count, refused, histogram, oldestAt, newestAt }: DryRun,
  { terminal }: Context,
): void {
  const rows = Object.entries(histogram).flatMap(([queue, codes]) =>
    Object.entries(codes).map(([code, letters]) => [queue, code, String(letters)]),
  )
  if (rows.length > 0) for (const line of tableLines(['QUEUE', 'CODE', 'LETTERS'], rows)) terminal.data(line)
  terminal.say(
    `Would ${act} ${count} letters${count === 0 ? '' : `, from ${oldestAt} to ${newestAt}`}${besides(refused)}.`,
  )
}

function sum({ redriven, already, refused = {}, discarded }: Progress): string {
  if (discarded !== undefined) return `${discarded} discarded`
  const elsewhere = already === undefined || already === 0 ? '' : `, ${already} were redriven already`
  return `${redriven ?? 0} redriven${elsewhere}${besides(refused)}`
}

function besides(refused: Readonly<Record<string, number>>): string {
  return Object.entries(refused)
    .map(([why, count]) => `, ${count} refused (${REFUSED[why] ?? why})`)
    .join('')
}

const REFUSED: Readonly<Record<string, string>> = {
  generations: 'redriven three times already: --force',
  tombstone: 'no value: --edit, or discard',
  unfinished: 'its end is not stored yet: again later',
  cut: 'did not fit into the log: hand in again',
}

async function redriveEdited(
  letters: readonly string[],
  file: string,
  flags: RedriveFlags,
  context: Context,
): Promise<void> {
  const [letter, ...others] = letters
  if (letter === undefined || others.length > 0) {
    throw new CommandError(EXIT.usage, 'Another body goes with one letter.', {
      fix: ['forebay dead redrive LETTER --edit FILE --yes'],
    })
  }
  const body = readFile(file)
  const { terminal } = context
  if (!flags.yes || flags.dryRun) {
    terminal.say(`Would redrive ${letter} with the ${body.length} bytes of ${file}.`)
    if (flags.dryRun) return
    terminal.say('Nothing was done: add --yes to do it.')
    context.exitWith(EXIT.usage)
    return
  }
  const contentType = flags.contentType ?? (isJson(body) ? 'application/json' : undefined)
  const answer = await openGateway(flags, context).json({
    method: 'POST',
    path: withQuery(`${letterPath(letter)}/redrive`, { reason: flags.reason, force: flags.force ? 'true' : undefined }),
    body,
    ...(contentType === undefined ? {} : { contentType }),
  })
  terminal.data(flags.json ? JSON.stringify(answer) : sum(answer as Progress))
}

function readFile(file: string): Uint8Array {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new CommandError(EXIT.usage, `The file ${file} cannot be read.`, { cause: error })
  }
}

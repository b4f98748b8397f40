import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { adminPath, type GatewayFlags, openGateway, URL_FLAG } from '../gateway.ts'
import { printable } from '../printable.ts'

interface ShowFlags extends GatewayFlags {
  readonly body?: boolean
  readonly json?: boolean
}

/** As the gateway tells of it. */
interface LetterWhole {
  readonly letter: string
  readonly state: string
  readonly task: string
  readonly key: string | null
  readonly code: string
  readonly detail: string
  readonly attempts: number
  readonly generation: number
  readonly worker: string | null
  readonly diedAt: string
  readonly recordedAt: string
  readonly origin: string
  readonly bytes: number
  readonly tombstone: boolean
  readonly cuts: readonly string[]
  readonly contentType: string | null
  readonly body?: string
  readonly bodyBase64?: string
  readonly headers: readonly { readonly name: string; readonly value?: string; readonly valueBase64?: string }[]
  readonly history: readonly {
    readonly number: number
    readonly beganAt: string | null
    readonly endedAt: string | null
    readonly code: string
    readonly detail: string
    readonly worker: string | null
  }[]
  readonly verdicts: readonly {
    readonly verdict: string
    readonly by: string
    readonly at: string
    readonly reason: string
  }[]
}

export function registerDeadShow(dead: Command, context: Context): void {
  dead
    .command('show')
    .argument('<letter>', "its name in the list, as 'orders/3/17'")
    .description('Shows one dead letter: why it died, each attempt, what was done with it, its headers and its body.')
    .option('--body', "the body's own bytes on stdout, and nothing else")
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', SHOW_EXAMPLES)
    .action((letter: string, flags: ShowFlags) => show(letter, flags, context))
}

const SHOW_EXAMPLES = `
Examples:
  forebay dead show orders/3/17
  forebay dead show orders/3/17 --body > body.json; vi body.json
  forebay dead redrive orders/3/17 --edit body.json --yes`

/** The path of one letter. */
export function letterPath(letter: string): string {
  const [queue, partition, offset, ...more] = letter.split('/')
  if (queue === undefined || queue === '' || partition === undefined || offset === undefined || more.length > 0) {
    throw new CommandError(EXIT.usage, `${letter} is no name of a dead letter.`, {
      fix: ["forebay dead list    names them, as 'orders/3/17'."],
    })
  }
  return adminPath`/v1/admin/dead/${queue}/${partition}/${offset}`
}

async function show(name: string, flags: ShowFlags, context: Context): Promise<void> {
  const { terminal } = context
  const letter = (await openGateway(flags, context).json({ path: letterPath(name) })) as LetterWhole
  const body = letter.body === undefined ? Buffer.from(letter.bodyBase64 ?? '', 'base64') : Buffer.from(letter.body)
  if (flags.body) terminal.bytes(body)
  else if (flags.json) terminal.data(JSON.stringify(letter))
  else for (const line of describe(letter)) terminal.data(line)
}

function describe(letter: LetterWhole): string[] {
  const lines = [
    `letter      ${letter.letter}, ${letter.state}`,
    `task        ${printable(letter.task)}, generation ${letter.generation}`,
    ...(letter.key === null ? [] : [`key         ${printable(letter.key)}`]),
    `why         ${letter.code}: ${printable(letter.detail)}`,
    `died        ${letter.diedAt} after ${letter.attempts} ${letter.attempts === 1 ? 'attempt' : 'attempts'}`,
    `came from   ${letter.origin}, ${letter.recordedAt}`,
    ...letter.cuts.map((cut) => `cut         ${cut}`),
    ...letter.history.map(
      (one) =>
        `attempt ${String(one.number).padEnd(3)} ${one.beganAt} to ${one.endedAt}, ${printable(one.worker ?? 'nobody')}: ${one.code}: ${printable(one.detail)}`,
    ),
    ...letter.verdicts.map(
      (one) => `verdict     ${one.verdict} by ${printable(one.by)}, ${one.at}${because(one.reason)}`,
    ),
    ...letter.headers.map(({ name, value }) => `header      ${printable(name)}: ${printable(value ?? '(not text)')}`),
    `body        ${letter.tombstone ? 'none' : `${letter.contentType ?? 'of no type'}, ${letter.bytes} bytes`}`,
  ]
  if (letter.body !== undefined && letter.body !== '') lines.push('', ...letter.body.split('\n').map(printable))
  else if (letter.bodyBase64 !== undefined) lines.push('', 'Not text: --body writes its bytes.')
  return lines
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${printable(reason)}`
}

import { systemRandom } from '@forebay/broker'
import { newWebhookSecret } from '@forebay/server/configuration'
import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { adminPath, type GatewayFlags, openGateway, URL_FLAG, withQuery } from '../gateway.ts'
import { printable } from '../printable.ts'
import { tableLines } from '../table.ts'

interface FilterFlags extends GatewayFlags {
  readonly task?: string
  readonly owner?: string
  readonly queue?: string
  readonly to?: string
  readonly state?: string
  readonly since?: string
  readonly limit?: number
  readonly json?: boolean
}

interface ReplayFlags extends FilterFlags {
  readonly all?: boolean
}

interface OneFlags extends GatewayFlags {
  readonly json?: boolean
}

/** As the gateway tells of it. */
interface Webhook {
  readonly id: string
  readonly task: string
  readonly owner: string
  readonly queue: string
  readonly url: string
  readonly state: string
  readonly tries: number
  readonly nextAt: string | null
  readonly changedAt: string
  readonly taskState: string | null
  readonly attempts: readonly {
    readonly at: string
    readonly durationMs: number
    readonly status: number | null
    readonly detail: string | null
  }[]
}

export function registerWebhooks(program: Command, context: Context): void {
  const webhooks = program
    .command('webhooks')
    .description('Shows calls to URLs of callers, what became of them, and makes them again.')
  webhooks
    .command('secret')
    .description('Prints a new secret for webhooks.secrets. It is kept nowhere.')
    .addHelpText('after', SECRET_EXAMPLES)
    .action(() => newSecret(context))
  withFilter(webhooks.command('list'))
    .description('Lists callbacks, the youngest first, with how the last call of each went.')
    .option('--json', 'one JSON object a callback, on stdout')
    .addHelpText('after', LIST_EXAMPLES)
    .action((flags: FilterFlags) => list(flags, context))
  webhooks
    .command('show')
    .argument('<id>', 'of a callback, as cb_…')
    .description('Shows one callback with its delivery log.')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .action((id: string, flags: OneFlags) => show(id, flags, context))
  withFilter(webhooks.command('replay'))
    .argument('[id]', 'of a callback; or say which by flags')
    .description('Makes calls again, now: the same ids, the same bodies. By flags those that were given up.')
    .option('--all', 'all that were given up')
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', REPLAY_EXAMPLES)
    .action((id: string | undefined, flags: ReplayFlags) => replay(id, flags, context))
  webhooks
    .command('enable')
    .argument('<owner>', 'whose callbacks')
    .argument('<url>', 'that has answered 410')
    .description('Lets a URL be called again that has answered 410.')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .action((owner: string, url: string, flags: OneFlags) => enable(owner, url, flags, context))
}

const SECRET_EXAMPLES = `
Examples:
  forebay webhooks secret
  FOREBAY_WEBHOOKS_SECRETS=$(forebay webhooks secret) forebay up

To replace one: put the new one first and keep the old one second until every receiver knows the new one.`

const LIST_EXAMPLES = `
Examples:
  forebay webhooks list --state given-up --since 2h
  forebay webhooks list --task ID --json`

const REPLAY_EXAMPLES = `
Examples:
  forebay webhooks replay cb_…
  forebay webhooks replay --queue orders --since 2h
  forebay webhooks replay --owner shop --state delivered --since 10m`

function withFilter(command: Command): Command {
  return command
    .option('--task <id>', 'only of this task')
    .option('-o, --owner <principal>', 'only of this principal')
    .option('-q, --queue <queue>', 'only of tasks of this queue')
    .option('--to <url>', 'only to this URL')
    .option('-s, --state <state>', 'only in this state: waiting, due, delivered, given-up, disabled')
    .option('--since <time>', 'only what changed from then on: 2h (ago), or 2026-11-21T08:00:00Z')
    .option('-n, --limit <count>', 'at most so many, up to 1000', readCount)
    .option(...URL_FLAG)
}

function parameters({ task, owner, queue, to, state, since, limit }: FilterFlags) {
  return { task, owner, queue, url: to, state, since, limit }
}

function newSecret({ terminal }: Context): void {
  terminal.say('The secret, shown only now; receivers verify calls with it:')
  terminal.data(newWebhookSecret(systemRandom))
}

async function list(flags: FilterFlags, context: Context): Promise<void> {
  const { terminal } = context
  const path = withQuery('/v1/admin/webhooks', parameters(flags))
  const { webhooks } = (await openGateway(flags, context).json({ path })) as { readonly webhooks: readonly Webhook[] }
  if (flags.json) for (const one of webhooks) terminal.data(JSON.stringify(one))
  else if (webhooks.length === 0) terminal.say('No callbacks.')
  else for (const line of tableLines(COLUMNS, webhooks.map(cells))) terminal.data(line)
}

const COLUMNS = ['ID', 'STATE', 'TRIES', 'NEXT', 'OWNER', 'URL', 'LAST']

function cells({ id, state, tries, nextAt, owner, url, attempts }: Webhook): string[] {
  const last = attempts.at(-1)
  const how = last === undefined ? '-' : (last.detail ?? `answered ${last.status}`)
  return [id, state, String(tries), nextAt ?? '-', printable(owner), cut(url), cut(how)]
}

function cut(text: string): string {
  const whole = printable(text)
  return whole.length > CELL_MAX ? `${whole.slice(0, CELL_MAX - 1)}…` : whole
}

const CELL_MAX = 60

async function show(id: string, flags: OneFlags, context: Context): Promise<void> {
  const one = (await openGateway(flags, context).json({ path: adminPath`/v1/admin/webhooks/${id}` })) as Webhook
  if (flags.json) context.terminal.data(JSON.stringify(one))
  else for (const line of describe(one)) context.terminal.data(line)
}

function describe(one: Webhook): string[] {
  return [
    `id         ${one.id}`,
    `state      ${one.state}${one.nextAt === null ? '' : `, next call ${one.nextAt}`}`,
    `task       ${one.task}, ${one.taskState ?? 'not ended'}`,
    `queue      ${one.queue}`,
    `owner      ${printable(one.owner)}`,
    `url        ${printable(one.url)}`,
    `changed    ${one.changedAt}`,
    ...one.attempts.map(
      ({ at, durationMs, status, detail }) =>
        `call       ${at}, ${durationMs} ms: ${printable(detail ?? `answered ${status}`)}`,
    ),
  ]
}

async function replay(id: string | undefined, flags: ReplayFlags, context: Context): Promise<void> {
  const asked = { id, ...parameters(flags), all: flags.all }
  if (Object.values(asked).every((value) => value === undefined)) {
    throw new CommandError(EXIT.usage, 'Which callbacks are meant?', {
      fix: ['Name one: forebay webhooks replay cb_…', 'Or say which by flags, or --all.'],
    })
  }
  const answer = (await openGateway(flags, context).json({
    method: 'POST',
    path: '/v1/admin/webhooks/replay',
    body: new TextEncoder().encode(JSON.stringify(asked)),
    contentType: 'application/json',
  })) as { readonly replayed: number }
  if (flags.json) context.terminal.data(JSON.stringify(answer))
  else context.terminal.say(`${answer.replayed} ${answer.replayed === 1 ? 'call is' : 'calls are'} due now.`)
}

async function enable(owner: string, url: string, flags: OneFlags, context: Context): Promise<void> {
  const answer = (await openGateway(flags, context).json({
    method: 'POST',
    path: '/v1/admin/webhooks/enable',
    body: new TextEncoder().encode(JSON.stringify({ owner, url })),
    contentType: 'application/json',
  })) as { readonly enabled: boolean }
  if (flags.json) context.terminal.data(JSON.stringify(answer))
  else context.terminal.say(answer.enabled ? 'It is called again.' : 'It was not disabled.')
}

function readCount(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Write a whole number from 1 to 1000.')
}

import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { adminPath, type GatewayFlags, openGateway, URL_FLAG, withQuery } from '../gateway.ts'
import { isJson, readBody } from '../request-body.ts'
import { tableLines } from '../table.ts'

interface ListFlags extends GatewayFlags {
  readonly queue?: string
  readonly key?: string
  readonly reason?: string
  readonly limit: number
  readonly json?: boolean
}

interface OneFlags extends GatewayFlags {
  readonly json?: boolean
}

interface ShowFlags extends OneFlags {
  readonly body?: boolean
}

interface EditFlags extends OneFlags {
  readonly file?: string
  readonly contentType?: string
}

/** As the gateway tells of it. */
interface Parked {
  readonly id: string
  readonly queue: string
  readonly key: string | null
  readonly owner: string
  readonly reason: string
  readonly attempts: number
  readonly losses: number
  readonly fault: { readonly code: string; readonly detail: string } | null
  readonly parkedAt: string
  readonly dueAt: string | null
  readonly deadlineAt: string
  readonly wish: string | null
  readonly partition: number
  readonly offset: number
  readonly bytes: number
}

interface ParkedWhole extends Parked {
  readonly contentType: string
  readonly body?: string
  readonly bodyBase64?: string
  /** Where a body is that is too large for a record. */
  readonly blob?: string
}

interface ParkedPage {
  readonly parked: readonly Parked[]
  readonly total: number
  readonly next: string | null
}

export function registerParked(program: Command, context: Context): void {
  const parked = program.command('parked').description('Shows tasks that wait outside the log, and moves them on.')
  parked
    .command('list')
    .description('Lists parked tasks, newest first: why each waits, and until when.')
    .option('-q, --queue <queue>', 'only of this queue')
    .option('-k, --key <key>', 'only in the line of this key')
    .option('-r, --reason <reason>', 'only for this reason: delayed, backoff, behind, blocking, exhausted')
    .option('-n, --limit <count>', 'at most so many', readCount, LIMIT_DEFAULT)
    .option(...URL_FLAG)
    .option('--json', 'one JSON object a task, on stdout')
    .addHelpText('after', LIST_EXAMPLES)
    .action((flags: ListFlags) => list(flags, context))
  one(parked, 'show', 'Shows one parked task, with its body.', SHOW_EXAMPLES)
    .option('--body', "the body's own bytes on stdout, and nothing else")
    .action((queue: string, id: string, flags: ShowFlags) => show(queue, id, flags, context))
  for (const [wish, about] of WISHES) {
    one(parked, wish, about, wishExamples(wish)).action((queue: string, id: string, flags: OneFlags) =>
      tell(queue, id, wish, flags, context),
    )
  }
  one(parked, 'edit', 'Puts another body in place of a parked task’s; then retry or release it.', EDIT_EXAMPLES)
    .argument('[body]', 'the new body; - reads it from stdin')
    .option('-f, --file <file>', 'read the body from a file')
    .option('-t, --content-type <type>', 'default: application/json if the body is JSON, else the one it had')
    .action((queue: string, id: string, body: string | undefined, flags: EditFlags) =>
      edit(queue, id, body, flags, context),
    )
}

const WISHES = [
  ['retry', 'Makes one more attempt now.'],
  ['release', 'Lets a task run again as if it were new: with all its attempts and all its time.'],
  ['skip', 'Gives a task up: it ends dead, its dead letter is kept, and the next one of its key goes on.'],
] as const

const LIST_EXAMPLES = `
Examples:
  forebay parked list
  forebay parked list --queue orders --reason exhausted
  forebay parked list --queue orders --key customer-7 --json

A gateway that asks for access keys wants one of an operator (\`operator: true\`), in FOREBAY_KEY.`

const SHOW_EXAMPLES = `
Examples:
  forebay parked show orders ID
  forebay parked show orders ID --body > body.json`

const EDIT_EXAMPLES = `
Examples:
  forebay parked edit orders ID '{"customer":7}'
  forebay parked show orders ID --body > body.json; vi body.json
  forebay parked edit orders ID --file body.json && forebay parked release orders ID`

const LIMIT_DEFAULT = 100
/** Of one request to the gateway. */
const PAGE_MAX = 1_000

function wishExamples(wish: string): string {
  return `
Example:
  forebay parked ${wish} orders ID

It is done by the dispatcher that owns the task, usually within a second.`
}

function one(parked: Command, name: string, about: string, examples: string): Command {
  return parked
    .command(name)
    .argument('<queue>')
    .argument('<id>', 'of the task')
    .description(about)
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', examples)
}

async function list(flags: ListFlags, context: Context): Promise<void> {
  const { terminal } = context
  const gateway = openGateway(flags, context)
  const rows: Parked[] = []
  let total = 0
  let after: string | undefined
  do {
    const { queue, key, reason } = flags
    const limit = Math.min(flags.limit - rows.length, PAGE_MAX)
    const page = (await gateway.json({
      path: withQuery('/v1/admin/parked', { queue, key, reason, limit, after }),
    })) as ParkedPage
    rows.push(...page.parked)
    total = page.total
    after = page.next ?? undefined
  } while (after !== undefined && rows.length < flags.limit)
  if (flags.json) for (const row of rows) terminal.data(JSON.stringify(row))
  else if (rows.length === 0) terminal.say('Nothing is parked.')
  else for (const line of tableLines(COLUMNS, rows.map(cells))) terminal.data(line)
  if (rows.length > 0 && total > rows.length) terminal.say(`${rows.length} of ${total}; --limit shows more.`)
}

const COLUMNS = ['QUEUE', 'TASK', 'KEY', 'REASON', 'ATTEMPTS', 'DUE', 'WISH', 'WHY']

function cells({ queue, id, key, reason, attempts, dueAt, wish, fault }: Parked): string[] {
  const why = fault === null ? '' : `${fault.code}: ${fault.detail}`
  const due = dueAt ?? (reason === 'exhausted' ? 'never by itself' : 'after the one before')
  return [
    queue,
    id,
    printable(key ?? '-'),
    reason,
    String(attempts),
    due,
    wish ?? '-',
    printable(why).slice(0, WHY_MAX),
  ]
}

const WHY_MAX = 60

/** What callers and workers wrote must not move the cursor of a terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')
}

async function show(queue: string, id: string, flags: ShowFlags, context: Context): Promise<void> {
  const { terminal } = context
  const path = adminPath`/v1/admin/queues/${queue}/parked/${id}`
  const task = (await openGateway(flags, context).json({ path })) as ParkedWhole
  const body = task.body === undefined ? Buffer.from(task.bodyBase64 ?? '', 'base64') : Buffer.from(task.body)
  if (flags.body) terminal.bytes(body)
  else if (flags.json) terminal.data(JSON.stringify(task))
  else for (const line of describe(task)) terminal.data(line)
}

function describe(task: ParkedWhole): string[] {
  const lines = [`id         ${task.id}`, `queue      ${task.queue}`]
  if (task.key !== null) lines.push(`key        ${printable(task.key)}`)
  lines.push(
    `owner      ${printable(task.owner)}`,
    `reason     ${task.reason}`,
    `attempts   ${task.attempts}${task.losses > 0 ? `, and ${task.losses} lost workers` : ''}`,
    `parked     ${task.parkedAt}`,
    `due        ${task.dueAt ?? 'not by time'}`,
    `deadline   ${task.deadlineAt}`,
    `place      partition ${task.partition}, offset ${task.offset}`,
  )
  if (task.wish !== null) lines.push(`wish       ${task.wish}`)
  if (task.fault !== null) lines.push(`why        ${task.fault.code}: ${printable(task.fault.detail)}`)
  lines.push(`body       ${task.contentType}, ${task.bytes} bytes${task.blob === undefined ? '' : `, in ${task.blob}`}`)
  if (task.body !== undefined && task.body !== '') lines.push('', ...task.body.split('\n').map(printable))
  else if (task.bodyBase64 !== undefined) lines.push('', 'Not text: --body writes its bytes.')
  return lines
}

async function tell(queue: string, id: string, wish: string, flags: OneFlags, context: Context): Promise<void> {
  const path = `${adminPath`/v1/admin/queues/${queue}/parked/${id}`}/${wish}`
  const answer = await openGateway(flags, context).json({ method: 'POST', path })
  if (flags.json) context.terminal.data(JSON.stringify(answer))
  else context.terminal.say(`Told to ${wish} it.`)
}

async function edit(
  queue: string,
  id: string,
  given: string | undefined,
  flags: EditFlags,
  context: Context,
): Promise<void> {
  const body = await readBody(given, flags.file, `forebay parked edit ${queue} ${id}`)
  const contentType = flags.contentType ?? (isJson(body) ? 'application/json' : undefined)
  const path = adminPath`/v1/admin/queues/${queue}/parked/${id}/body`
  const answer = await openGateway(flags, context).json({
    method: 'PUT',
    path,
    body,
    ...(contentType === undefined ? {} : { contentType }),
  })
  if (flags.json) context.terminal.data(JSON.stringify(answer))
  else context.terminal.say(`Its body has ${body.length} bytes now. Next: forebay parked release ${queue} ${id}`)
}

function readCount(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Write a whole number above 0.')
}

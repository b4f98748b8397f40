import {
  type Client,
  createClient,
  ResultTimeoutError,
  TaskFailedError,
  type TaskHandle,
  type TaskResult,
  type TaskStatus,
} from '@forebay/sdk/client'
import { parseDuration, parseMoment } from '@forebay/server/configuration'
import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { URL_DEFAULT, URL_FLAG } from '../gateway.ts'
import { isJson, readBody } from '../request-body.ts'
import { requestFault } from '../request-faults.ts'

/** Somebody waits at a prompt: a gateway that is not there should be said soon. */
const RETRY = { attempts: 3, within: '3s' }

interface SubmitFlags {
  readonly file?: string
  readonly key?: string
  readonly idempotencyKey?: string
  readonly contentType?: string
  readonly delay?: number
  readonly notBefore?: Date
  readonly priority?: number
  readonly deadline?: number
  readonly callback?: string
  readonly wait?: number
  readonly url?: string
  readonly json?: boolean
}

interface CancelFlags {
  readonly url?: string
  readonly json?: boolean
}

interface GetFlags {
  readonly wait?: number
  readonly result?: boolean
  readonly url?: string
  readonly json?: boolean
}

export function registerTasks(program: Command, context: Context): void {
  program
    .command('submit')
    .argument('<queue>')
    .argument('[body]', "the task's body; - reads it from stdin")
    .description('Hands in a task. Prints its id, or with --wait its result.')
    .option('-f, --file <file>', 'read the body from a file')
    .option('-k, --key <key>', 'ordering key')
    .option('--idempotency-key <key>', 'a repetition with the same key lands on the same task')
    .option('-t, --content-type <type>', 'default: application/json if the body is JSON, else application/octet-stream')
    .option('-d, --delay <duration>', 'begin no earlier than so long from now, as 90s or 2h', readDuration)
    .option('--not-before <time>', 'begin no earlier than this, as 2026-05-01T08:30:00Z', readMoment)
    .option('-p, --priority <0-9>', 'higher ones go first; default 4', readPriority)
    .option('--deadline <duration>', 'give it up so long from now; default: the queue’s, after the delay', readDuration)
    .option('--callback <url>', 'to be called by the gateway when the task has ended (a webhook)')
    .option('-w, --wait <duration>', 'wait so long for the result, as 10s', readDuration)
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', SUBMIT_EXAMPLES)
    .action((queue: string, body: string | undefined, flags: SubmitFlags) => submit(queue, body, flags, context))
  program
    .command('get')
    .argument('<id>', 'of a task')
    .description('Says how a task stands; with --result prints what its worker answered.')
    .option('-w, --wait <duration>', 'wait so long for its end, as 10s', readDuration)
    .option('--result', "the result's own bytes on stdout")
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', GET_EXAMPLES)
    .action((id: string, flags: GetFlags) => get(id, flags, context))
  program
    .command('cancel')
    .argument('<id>', 'of a task')
    .description('Ends a task as cancelled: one that waits is not handed out, one that runs is called off.')
    .option(...URL_FLAG)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', CANCEL_EXAMPLES)
    .action((id: string, flags: CancelFlags) => cancel(id, flags, context))
}

const SUBMIT_EXAMPLES = `
Examples:
  forebay submit hello '"world"' --wait 10s
  forebay submit thumbnails --file photo.jpg --content-type image/jpeg --key user-7
  generate | forebay submit orders - --idempotency-key order-4711 --json
  forebay submit reminders '{"to":"ann"}' --delay 2h --priority 9

A gateway that asks for access keys gets the one in FOREBAY_KEY.`

const GET_EXAMPLES = `
Examples:
  forebay get ID
  forebay get ID --wait 30s --result > thumbnail.jpg
  forebay get ID --json`

const CANCEL_EXAMPLES = `
Examples:
  forebay cancel ID
  forebay cancel ID --json

Asked again it says the same again. A task that has ended otherwise stays as it is: exit code 1.`

async function submit(queue: string, given: string | undefined, flags: SubmitFlags, context: Context): Promise<void> {
  const { terminal } = context
  const { client, url } = clientFor(flags, context)
  const body = await readBody(given, flags.file, 'forebay submit QUEUE')
  const options = {
    ...(flags.key === undefined ? {} : { key: flags.key }),
    ...(flags.idempotencyKey === undefined ? {} : { idempotencyKey: flags.idempotencyKey }),
    ...(flags.delay === undefined ? {} : { delay: flags.delay }),
    ...(flags.notBefore === undefined ? {} : { notBefore: flags.notBefore }),
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(flags.deadline === undefined ? {} : { deadline: flags.deadline }),
    ...(flags.callback === undefined ? {} : { callback: flags.callback }),
    contentType: flags.contentType ?? (isJson(body) ? 'application/json' : 'application/octet-stream'),
  }
  try {
    if (flags.wait !== undefined) {
      showResult(await client.call(queue, body, { ...options, within: flags.wait }), flags, context)
      return
    }
    const { id } = await client.submit(queue, body, options)
    if (flags.json) terminal.data(JSON.stringify({ id, queue, state: 'pending' }))
    else {
      terminal.data(id)
      terminal.say(`Next: forebay get ${id} --wait 10s --result`)
    }
  } catch (thrown) {
    throw requestFault(thrown, url)
  }
}

async function get(id: string, flags: GetFlags, context: Context): Promise<void> {
  const { client, url } = clientFor(flags, context)
  const task = client.task(id)
  try {
    if (flags.result) showResult(await task.result({ within: flags.wait ?? 0 }), flags, context)
    else await showStatus(task, flags, context)
  } catch (thrown) {
    throw requestFault(thrown, url)
  }
}

async function cancel(id: string, flags: CancelFlags, context: Context): Promise<void> {
  const { client, url } = clientFor(flags, context)
  try {
    const status = await client.task(id).cancel()
    if (flags.json) context.terminal.data(JSON.stringify(status))
    else for (const line of describe(status)) context.terminal.data(line)
  } catch (thrown) {
    throw requestFault(thrown, url)
  }
}

/** A task that failed is a good answer to "how does it stand?"; one that has not ended in time is not. */
async function showStatus(task: TaskHandle, flags: GetFlags, { terminal }: Context): Promise<void> {
  let late: unknown
  if (flags.wait !== undefined) {
    await task.result({ within: flags.wait }).catch((thrown: unknown) => {
      if (!(thrown instanceof TaskFailedError)) late = thrown
    })
    if (late !== undefined && !(late instanceof ResultTimeoutError)) throw late
  }
  const status = await task.status()
  if (flags.json) terminal.data(JSON.stringify(status))
  else for (const line of describe(status)) terminal.data(line)
  if (late !== undefined) throw late
}

function showResult(result: TaskResult, flags: { readonly json?: boolean }, { terminal }: Context): void {
  const bytes = result.bytes()
  if (flags.json) {
    const shown = shownResult(result)
    terminal.data(JSON.stringify({ id: result.id, state: 'succeeded', contentType: result.contentType, ...shown }))
    return
  }
  terminal.bytes(bytes)
  if (terminal.attended && bytes.at(-1) !== NEWLINE) terminal.say('')
}

/** As JSON where it is JSON, as text where it says that it is, else in base64. */
function shownResult(result: TaskResult): object {
  const bytes = result.bytes()
  if (isJson(bytes)) return { result: result.json() }
  if (result.contentType.startsWith('text/')) return { resultText: result.text() }
  return { resultBase64: Buffer.from(bytes).toString('base64') }
}

function describe({ id, queue, state, attempts, generation, acceptedAt, finishedAt, problem }: TaskStatus): string[] {
  const lines = [`id        ${id}`, `queue     ${queue}`, `state     ${state}`, `attempts  ${attempts}`]
  if (generation > 0) lines.push(`life      ${generation + 1}, redriven`)
  lines.push(`accepted  ${acceptedAt.toISOString()}`)
  if (finishedAt !== null) lines.push(`finished  ${finishedAt.toISOString()}`)
  if (problem !== null) lines.push(`problem   ${problem.code}: ${problem.detail}`)
  return lines
}

function clientFor(flags: { readonly url?: string }, { environment }: Context): { client: Client; url: string } {
  const url = flags.url ?? environment.url ?? URL_DEFAULT
  try {
    const key = environment.key === undefined ? {} : { key: environment.key }
    return { client: createClient({ url, ...key, retry: RETRY }), url }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.replace('createClient: ', '') : String(thrown)
    throw new CommandError(EXIT.usage, why, { fix: [`Write --url ${URL_DEFAULT}; FOREBAY_KEY holds the access key.`] })
  }
}

function readDuration(text: string): number {
  const ms = parseDuration(text)
  if (ms === null) throw new InvalidArgumentError("Write a duration, as '10s' or '500ms'.")
  return ms
}

function readMoment(text: string): Date {
  const ms = parseMoment(text)
  if (ms !== null) return new Date(ms)
  throw new InvalidArgumentError("Write a moment with its zone, as '2026-05-01T08:30:00Z'.")
}

function readPriority(text: string): number {
  if (/^\d$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Write a whole number from 0 to 9.')
}

const NEWLINE = 0x0a

import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import {
  type Client,
  createClient,
  ResultTimeoutError,
  TaskFailedError,
  type TaskHandle,
  type TaskResult,
  type TaskStatus,
} from '@forebay/sdk/client'
import { parseDuration } from '@forebay/server/configuration'
import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { requestFault } from '../request-faults.ts'

const URL_DEFAULT = 'http://127.0.0.1:8080'
/** Somebody waits at a prompt: a gateway that is not there should be said soon. */
const RETRY = { attempts: 3, within: '3s' }

interface SubmitFlags {
  readonly file?: string
  readonly key?: string
  readonly idempotencyKey?: string
  readonly contentType?: string
  readonly wait?: number
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
    .option('-w, --wait <duration>', 'wait so long for the result, as 10s', readWait)
    .option('--url <url>', `the gateway (FOREBAY_URL; default: ${URL_DEFAULT})`)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', SUBMIT_EXAMPLES)
    .action((queue: string, body: string | undefined, flags: SubmitFlags) => submit(queue, body, flags, context))
  program
    .command('get')
    .argument('<id>', 'of a task')
    .description('Says how a task stands; with --result prints what its worker answered.')
    .option('-w, --wait <duration>', 'wait so long for its end, as 10s', readWait)
    .option('--result', "the result's own bytes on stdout")
    .option('--url <url>', `the gateway (FOREBAY_URL; default: ${URL_DEFAULT})`)
    .option('--json', 'one JSON object on stdout')
    .addHelpText('after', GET_EXAMPLES)
    .action((id: string, flags: GetFlags) => get(id, flags, context))
}

const SUBMIT_EXAMPLES = `
Examples:
  forebay submit hello '"world"' --wait 10s
  forebay submit thumbnails --file photo.jpg --content-type image/jpeg --key user-7
  generate | forebay submit orders - --idempotency-key order-4711 --json

A gateway that asks for access keys gets the one in FOREBAY_KEY.`

const GET_EXAMPLES = `
Examples:
  forebay get ID
  forebay get ID --wait 30s --result > thumbnail.jpg
  forebay get ID --json`

async function submit(queue: string, given: string | undefined, flags: SubmitFlags, context: Context): Promise<void> {
  const { terminal } = context
  const { client, url } = clientFor(flags, context)
  const body = await readBody(given, flags.file)
  const options = {
    ...(flags.key === undefined ? {} : { key: flags.key }),
    ...(flags.idempotencyKey === undefined ? {} : { idempotencyKey: flags.idempotencyKey }),
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

function describe({ id, queue, state, attempts, acceptedAt, finishedAt, problem }: TaskStatus): string[] {
  const lines = [`id        ${id}`, `queue     ${queue}`, `state     ${state}`, `attempts  ${attempts}`]
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

async function readBody(given: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if ((given === undefined) === (file === undefined)) {
    const fix = ['forebay submit QUEUE \'{"a":1}\'', 'forebay submit QUEUE --file FILE', 'forebay submit QUEUE -']
    throw new CommandError(EXIT.usage, 'Say once what the body is.', { fix })
  }
  if (given === '-') return buffer(process.stdin)
  if (given !== undefined) return new TextEncoder().encode(given)
  try {
    return readFileSync(file!)
  } catch (error) {
    throw new CommandError(EXIT.usage, `The file ${file} cannot be read.`, { cause: error })
  }
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return true
  } catch {
    return false
  }
}

function readWait(text: string): number {
  const ms = parseDuration(text)
  if (ms === null) throw new InvalidArgumentError("Write a duration, as '10s' or '500ms'.")
  return ms
}

const NEWLINE = 0x0a

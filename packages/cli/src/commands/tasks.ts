import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { parseDuration } from '@forebay/server/configuration'
import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import {
  type GatewayClient,
  gatewayClient,
  type TaskDocument,
  type TaskResult,
  URL_DEFAULT,
} from '../gateway-client.ts'

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
  const gateway = clientFor(flags, context)
  const body = await readBody(given, flags.file)
  const waitMs = flags.wait ?? 0
  const answer = await gateway.submit({
    queue,
    body,
    contentType: flags.contentType ?? (isJson(body) ? 'application/json' : 'application/octet-stream'),
    key: flags.key,
    idempotencyKey: flags.idempotencyKey,
    waitMs,
  })
  if (answer.kind === 'ended') {
    showResult(answer.id, answer.result, flags, context)
  } else if (waitMs > 0) {
    await get(answer.id, { ...flags, wait: waitMs, result: true }, context)
  } else if (flags.json) {
    terminal.data(JSON.stringify({ id: answer.id, queue, state: 'pending' }))
  } else {
    terminal.data(answer.id)
    terminal.say(`Next: forebay get ${answer.id} --wait 10s --result`)
  }
}

async function get(id: string, flags: GetFlags, context: Context): Promise<void> {
  const gateway = clientFor(flags, context)
  const waitMs = flags.wait ?? 0
  if (flags.result) await showResultOf(gateway, id, flags, context)
  else {
    const task = await gateway.task(id, waitMs)
    if (flags.json) context.terminal.data(JSON.stringify(task))
    else for (const line of describe(task)) context.terminal.data(line)
    if (waitMs > 0 && task.finishedAt === undefined) throw notEnded(task, waitMs)
  }
}

async function showResultOf(gateway: GatewayClient, id: string, flags: GetFlags, context: Context): Promise<void> {
  const waitMs = flags.wait ?? 0
  if (waitMs > 0) {
    const task = await gateway.task(id, waitMs)
    if (task.finishedAt === undefined) throw notEnded(task, waitMs)
  }
  showResult(id, await gateway.result(id), flags, context)
}

function notEnded(task: TaskDocument, waitMs: number): CommandError {
  const fix = [`forebay get ${task.id} --wait 60s --result`]
  return new CommandError(EXIT.failed, `Task ${task.id} is ${task.state} after ${waitMs} ms.`, { fix })
}

function showResult(id: string, result: TaskResult, flags: { readonly json?: boolean }, { terminal }: Context): void {
  const { bytes, contentType } = result
  if (!flags.json) {
    terminal.bytes(bytes)
    if (terminal.attended && bytes.at(-1) !== NEWLINE) terminal.say('')
    return
  }
  const shown = isJson(bytes)
    ? { result: JSON.parse(Buffer.from(bytes).toString()) as unknown }
    : { resultBase64: Buffer.from(bytes).toString('base64') }
  terminal.data(JSON.stringify({ id, state: 'succeeded', contentType, ...shown }))
}

function describe({ id, queue, state, attempts, acceptedAt, finishedAt, problem }: TaskDocument): string[] {
  const lines = [`id        ${id}`, `queue     ${queue}`, `state     ${state}`, `attempts  ${attempts}`]
  lines.push(`accepted  ${acceptedAt}`)
  if (finishedAt !== undefined) lines.push(`finished  ${finishedAt}`)
  if (problem !== undefined) lines.push(`problem   ${problem.code}: ${problem.detail}`)
  return lines
}

function clientFor(flags: { readonly url?: string }, { environment }: Context): GatewayClient {
  return gatewayClient(flags.url ?? environment.url ?? URL_DEFAULT, environment.key)
}

async function readBody(given: string | undefined, file: string | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if ((given === undefined) === (file === undefined)) {
    const fix = ['forebay submit QUEUE \'{"a":1}\'', 'forebay submit QUEUE --file FILE', 'forebay submit QUEUE -']
    throw new CommandError(EXIT.usage, 'Say once what the body is.', { fix })
  }
  if (given === '-') return new Uint8Array(await buffer(process.stdin))
  if (given !== undefined) return new TextEncoder().encode(given)
  try {
    return new Uint8Array(readFileSync(file!))
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

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ForebayError } from '@forebay/protocol'
import type { Ask, Said, Setup } from './messages.ts'

/** What comes of a query, as it comes: columns, rows as often as there are some, end. */
export type Answered = Exclude<Said, { readonly error: unknown }>

/**
 * A process of its own for SQL: it cannot block this one, takes no thread of its pool, and may die of what it is asked.
 * It starts without our environment, which holds secrets.
 */
export class QueryProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #ended: Promise<unknown>
  #stderr = ''

  constructor(setup: Setup) {
    const heap = `--max-old-space-size=${HEAP_MIB}`
    this.#child = spawn(process.execPath, [heap, '--disable-warning=ExperimentalWarning', PROGRAM], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { TZ: 'UTC' },
      cwd: setup.dir,
    })
    this.#child.stdin!.on('error', () => {})
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS_MAX)
    })
    this.#ended = once(this.#child, 'close').catch((thrown: unknown) => {
      this.#stderr = String(thrown)
    })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    this.#send(setup)
  }

  /**
   * One at a time. Throws QUERY_REFUSED (what SQL does not allow here, or is wrong), QUERY_LIMIT (memory), INTERNAL; ends
   * in the signal's reason when that aborts, with the process killed.
   */
  async *ask(ask: Ask, signal: AbortSignal): AsyncGenerator<Answered> {
    const kill = () => this.#child.kill('SIGKILL')
    signal.addEventListener('abort', kill, { once: true })
    if (signal.aborted) kill()
    try {
      this.#send(ask)
      for (;;) {
        const { done, value } = await this.#lines.next()
        signal.throwIfAborted()
        if (done) throw await this.#died()
        const said = JSON.parse(value) as Said
        if ('error' in said) throw errorOf(said.error)
        yield said
        if ('end' in said) return
      }
    } finally {
      signal.removeEventListener('abort', kill)
    }
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #send(message: Setup | Ask): void {
    this.#child.stdin!.write(`${JSON.stringify(message)}\n`)
  }

  async #died(): Promise<ForebayError> {
    await this.#ended
    const memory = /heap out of memory|bad_alloc/.test(this.#stderr)
    if (memory) return new ForebayError('QUERY_LIMIT', 'The query took more memory than it may.')
    const { exitCode, signalCode } = this.#child
    const how = `${signalCode ?? exitCode}: ${this.#stderr.trim()}`
    return new ForebayError('INTERNAL', `The process that answers queries ended (${how.slice(0, 500)}).`)
  }
}

function errorOf({ kind, message }: Extract<Said, { error: unknown }>['error']): ForebayError {
  if (kind === 'refused') return new ForebayError('QUERY_REFUSED', message)
  if (kind === 'limit') return new ForebayError('QUERY_LIMIT', message)
  return new ForebayError('INTERNAL', message)
}

const PROGRAM = fileURLToPath(new URL('./answer-queries.ts', import.meta.url))
const HEAP_MIB = 256
const STDERR_CHARACTERS_MAX = 4_096

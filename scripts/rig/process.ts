import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** One real program started for a test, an example or a bench. Never outlives the process that started it. */
export interface Rig extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** Resolves when the process has ended, wanted or not. */
  readonly exited: Promise<RigExit>
  /** What it printed last, stdout and stderr mixed, at most `OUTPUT_CHARS_MAX` characters. */
  output(): string
  /** The first line it printed, or will print, that matches; rejects with its output when it ends or time is up. */
  line(pattern: RegExp, withinMs?: number): Promise<RegExpMatchArray>
  /** Resolves once something accepts connections on the loopback port; rejects like `line`. */
  listens(port: number, withinMs?: number): Promise<void>
  /** Sends the signal to this one process. */
  signal(signal: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after `graceMs` (default 10 s). Idempotent; a process that has ended is fine. */
  stop(graceMs?: number): Promise<RigExit>
}

export interface RigExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface RigOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** What the kernel sends it when this process dies. Default SIGKILL; a parent of its own children wants SIGTERM. */
  readonly deathSignal?: 'KILL' | 'TERM'
}

export function startProcess(options: RigOptions): Rig {
  const [command, args] = dyingWithParent(options)
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const pid = child.pid
  // A command that doesn't exist has no pid, and reports itself by 'error' a turn later.
  if (pid === undefined) {
    child.once('error', () => {})
    throw new Error(`${options.name}: cannot start ${options.command}; is it installed?`)
  }

  let output = ''
  let ended: RigExit | null = null
  const watchers = new Set<() => void>()
  const notify = () => {
    for (const watcher of watchers) watcher()
  }
  const onOutput = (chunk: string) => {
    output = (output + chunk).slice(-OUTPUT_CHARS_MAX)
    notify()
  }
  child.stdout.setEncoding('utf8').on('data', onOutput)
  child.stderr.setEncoding('utf8').on('data', onOutput)
  const closed = once(child, 'close')
  const exited = once(child, 'exit').then(async ([code, signal]): Promise<RigExit> => {
    running.delete(child)
    // Its last words are read once the pipes close, which a grandchild left over could put off for ever.
    await Promise.race([closed, sleep(LAST_WORDS_MS, undefined, { ref: false })])
    const exit = { code, signal }
    ended = exit
    notify()
    return exit
  })
  running.add(child)

  /** Calls `look` after all that happens, until it gives something. */
  const until = <Found>(what: string, withinMs: number, look: () => Found | null) =>
    new Promise<Found>((resolve, reject) => {
      const timer = setTimeout(() => finish(() => reject(failure(`no ${what} within ${withinMs} ms`))), withinMs)
      const finish = (act: () => void) => {
        clearTimeout(timer)
        watchers.delete(watch)
        act()
      }
      const watch = () => {
        const found = look()
        const exit = ended
        if (found !== null) finish(() => resolve(found))
        else if (exit !== null) finish(() => reject(failure(`ended before ${what} (${describeExit(exit)})`)))
      }
      watchers.add(watch)
      watch()
    })
  const failure = (what: string) => new Error(`${options.name}: ${what}. It printed:\n${output || '(nothing)'}`)

  return {
    name: options.name,
    pid,
    exited,
    output: () => output,
    line: (pattern, withinMs = READY_WITHIN_MS) => until(`line ${pattern}`, withinMs, () => output.match(pattern)),
    async listens(port, withinMs = READY_WITHIN_MS) {
      const by = performance.now() + withinMs
      while (!(await accepts(port))) {
        if (ended !== null) throw failure(`ended before it listened on ${port} (${describeExit(ended)})`)
        if (performance.now() > by) throw failure(`does not listen on ${port} within ${withinMs} ms`)
        await sleep(POLL_MS)
      }
    },
    signal(signal) {
      if (ended === null) child.kill(signal)
    },
    async stop(graceMs = STOP_GRACE_MS) {
      if (ended !== null) return ended
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      try {
        return await exited
      } finally {
        clearTimeout(timer)
      }
    },
    async [Symbol.asyncDispose]() {
      await this.stop()
    },
  }
}

/**
 * A port of the loopback that was free a moment ago; for programs that can't pick one themselves. Below those that the
 * kernel gives to connections: whoever is killed and comes back must not find its port taken by one.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_LEAST + Math.floor(Math.random() * (PORT_MOST - PORT_LEAST))
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

const PORT_LEAST = 10_240
/** Linux gives out ports from 32,768 on. */
const PORT_MOST = 32_767
const OUTPUT_CHARS_MAX = 256 * 1024
const READY_WITHIN_MS = 30_000
const STOP_GRACE_MS = 10_000
const POLL_MS = 20
const LAST_WORDS_MS = 200

/** setpriv has the kernel end the child when we die, by kill -9 too; without it, children end with an orderly exit. */
function dyingWithParent(options: RigOptions): [string, readonly string[]] {
  if (!existsSync(SETPRIV)) return [options.command, options.args]
  if (options.command.includes('/') && !existsSync(options.command)) {
    throw new Error(`${options.name}: there is no ${options.command}; is it installed?`)
  }
  return [SETPRIV, ['--pdeathsig', options.deathSignal ?? 'KILL', '--', options.command, ...options.args]]
}

const SETPRIV = '/usr/bin/setpriv'

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const answer = (accepted: boolean) => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once('connect', () => answer(true)).once('error', () => answer(false))
  })
}

function describeExit({ code, signal }: RigExit): string {
  return signal === null ? `code ${code}` : `signal ${signal}`
}

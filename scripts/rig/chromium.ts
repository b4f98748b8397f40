import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { startProcess } from './process.ts'

/** A real browser without a window, driven by its own DevTools protocol. Debian's package is `chromium`. */
export interface Chromium extends AsyncDisposable {
  /** A new, empty page. */
  open(): Promise<BrowserPage>
}

export interface BrowserPage {
  /** What went wrong in it so far: uncaught errors, and what the browser refused, as by a content security policy. */
  readonly complaints: readonly string[]
  /** Resolves when it is loaded. */
  goto(url: string): Promise<void>
  /** The value of an expression, by JSON; a promise is waited for. Rejects with what it throws. */
  evaluate<Value>(expression: string): Promise<Value>
  /** Resolves when the expression is true; rejects after `withinMs` (default 20 s). */
  until(expression: string, withinMs?: number): Promise<void>
  /** Puts text where the selector finds, as a keyboard or an input method does. */
  type(selector: string, text: string): Promise<void>
  /** Presses a real key: 'Enter', 'Tab'. */
  press(key: 'Enter' | 'Tab'): Promise<void>
}

export const hasChromium = () => COMMANDS.some(existsSync)

export async function startChromium(): Promise<Chromium> {
  const command = COMMANDS.find(existsSync)
  if (command === undefined) throw new Error('Chromium is not installed: apt-get install -y chromium')
  const dir = await mkdtemp(join(tmpdir(), 'forebay-chromium-'))
  const browser = startProcess({
    name: 'chromium',
    command,
    args: [
      ...['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${dir}`, '--no-first-run', '--disable-gpu'],
      // Its sandbox needs rights that a container seldom gives; the pages are our own.
      ...['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update'],
      'about:blank',
    ],
  })
  const close = async () => {
    await browser.stop()
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const [, url = ''] = await browser.line(/DevTools listening on (ws:\S+)/, READY_WITHIN_MS)
    const protocol = await connect(url)
    return {
      open: () => openPage(protocol),
      async [Symbol.asyncDispose]() {
        protocol.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

const COMMANDS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const READY_WITHIN_MS = 60_000
const UNTIL_WITHIN_MS = 20_000
const POLL_MS = 20

type Params = Readonly<Record<string, unknown>>
type OnEvent = (method: string, params: Params) => void

interface Protocol {
  call<Result = Params>(method: string, params?: Params, sessionId?: string): Promise<Result>
  on(sessionId: string, listener: OnEvent): void
  close(): void
}

/** JSON messages over one WebSocket: calls have a number, events a session. */
async function connect(url: string): Promise<Protocol> {
  const socket = new WebSocket(url)
  const calls = new Map<number, PromiseWithResolvers<never>>()
  const listeners = new Map<string, OnEvent>()
  let lastId = 0
  const opened = Promise.withResolvers<void>()
  socket.once('open', () => opened.resolve()).once('error', (error) => opened.reject(error))
  socket.on('close', () => {
    for (const call of calls.values()) call.reject(new Error('The browser has gone.'))
  })
  socket.on('message', (data) => {
    const message = JSON.parse(String(data))
    const call = calls.get(message.id)
    calls.delete(message.id)
    if (call === undefined) listeners.get(message.sessionId)?.(message.method, message.params)
    else if (message.error === undefined) call.resolve(message.result as never)
    else call.reject(new Error(message.error.message))
  })
  await opened.promise
  return {
    call(method, params = {}, sessionId) {
      const call = Promise.withResolvers<never>()
      calls.set(++lastId, call)
      socket.send(JSON.stringify({ id: lastId, method, params, sessionId }))
      return call.promise
    },
    on: (sessionId, listener) => void listeners.set(sessionId, listener),
    close: () => socket.close(),
  }
}

async function openPage(protocol: Protocol): Promise<BrowserPage> {
  const { targetId } = await protocol.call('Target.createTarget', { url: 'about:blank' })
  const attached = await protocol.call<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true })
  const { sessionId } = attached
  const call = <Result = Params>(method: string, params?: Params) => protocol.call<Result>(method, params, sessionId)
  const complaints: string[] = []
  let loaded = Promise.withResolvers<void>()
  protocol.on(sessionId, (method, params) => {
    if (method === 'Page.loadEventFired') loaded.resolve()
    if (method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(params.exceptionDetails))
    if (method === 'Log.entryAdded') {
      const { level, source, text } = params.entry as Record<string, string>
      // Answers that say no are the page's business.
      if (level === 'error' && source !== 'network') complaints.push(`${source}: ${text}`)
    }
  })
  for (const domain of ['Page', 'Runtime', 'Log']) await call(`${domain}.enable`)

  const evaluate = async <Value>(expression: string): Promise<Value> => {
    const answer = await call<Evaluated>('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
    const { exceptionDetails, result } = answer
    if (exceptionDetails === undefined) return result.value as Value
    throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`)
  }
  return {
    complaints,
    evaluate,
    async goto(url) {
      loaded = Promise.withResolvers()
      await call('Page.navigate', { url })
      await loaded.promise
    },
    async until(expression, withinMs = UNTIL_WITHIN_MS) {
      const byMs = performance.now() + withinMs
      while (!(await evaluate(expression))) {
        if (performance.now() > byMs) throw new Error(`not within ${withinMs} ms: ${expression}`)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      }
    },
    async type(selector, text) {
      await evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`)
      await call('Input.insertText', { text })
    },
    async press(key) {
      const code = KEY_CODES[key]
      const event = { key, code: key, windowsVirtualKeyCode: code, ...(key === 'Enter' ? { text: '\r' } : {}) }
      await call('Input.dispatchKeyEvent', { type: 'keyDown', ...event })
      await call('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
    },
  }
}

interface Evaluated {
  readonly result: { readonly value?: unknown }
  readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } }
}

const KEY_CODES = { Enter: 13, Tab: 9 } as const

import { type Logger, pino } from 'pino'
import type { Style, Terminal } from '../terminal.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Short lines where a person looks at stderr, one JSON object a line everywhere else. */
export function createLogger(terminal: Terminal, level: LogLevel): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (!terminal.attended) return pino(options, pino.destination({ dest: 2, sync: false }))
  return pino(options, { write: (line: string) => terminal.say(shortLine(line, terminal)) })
}

/** '12:04:31  warn  worker lost  queue=hello' */
export function shortLine(line: string, terminal: Pick<Terminal, 'style'>): string {
  const { level, time, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>
  const { name, style } = LEVELS.findLast((one) => Number(level) >= one.from) ?? LEVELS[0]!
  const members = Object.entries(rest).map(([key, value]) => `${key}=${shown(value)}`)
  const error = describeError(err)
  const parts = [
    terminal.style('dim', String(time).slice(11, 19)),
    terminal.style(style, name.padEnd(5)),
    String(msg ?? ''),
    terminal.style('dim', members.join(' ')),
    error,
  ]
  return parts.filter((part) => part !== '').join('  ')
}

const LEVELS: readonly { readonly from: number; readonly name: string; readonly style: Style }[] = [
  { from: 0, name: 'trace', style: 'dim' },
  { from: 20, name: 'debug', style: 'dim' },
  { from: 30, name: 'info', style: 'green' },
  { from: 40, name: 'warn', style: 'yellow' },
  { from: 50, name: 'error', style: 'red' },
  { from: 60, name: 'fatal', style: 'red' },
]

function shown(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@-]+$/.test(value) ? value : (JSON.stringify(value) ?? String(value))
}

function describeError(err: unknown): string {
  if (typeof err !== 'object' || err === null) return ''
  const { message, code } = err as { message?: unknown; code?: unknown }
  return `(${code === undefined ? '' : `${String(code)}: `}${String(message)})`
}

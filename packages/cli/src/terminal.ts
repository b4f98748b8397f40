import { styleText } from 'node:util'

/** Data goes to stdout, everything else to stderr. */
export interface Terminal {
  /** One line of data. */
  data(line: string): void
  /** Bytes of data, as they are. */
  bytes(chunk: Uint8Array): void
  /** One line for the person in front of it. */
  say(line: string): void
  /** Styled only where stderr is a terminal and NO_COLOR is not set. */
  style(format: Style, text: string): string
  /** Whether somebody looks at stderr. */
  readonly attended: boolean
}

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan'

export function processTerminal(): Terminal {
  return {
    data: (line) => process.stdout.write(`${line}\n`),
    bytes: (chunk) => process.stdout.write(chunk),
    say: (line) => process.stderr.write(`${line}\n`),
    style: (format, text) => styleText(format, text, { stream: process.stderr }),
    attended: process.stderr.isTTY === true,
  }
}

export interface ErrorBlock {
  readonly code: string | null
  /** What is wrong, with the value. */
  readonly message: string
  /** File, line and column, or the variable, and the path. */
  readonly where?: string
  readonly cause?: string
  readonly fix?: readonly string[]
}

/** What, where, why, what to do: in that order. */
export function sayError(terminal: Terminal, block: ErrorBlock): void {
  const code = block.code === null ? '' : ` ${terminal.style('bold', block.code)} `
  terminal.say(`${terminal.style('red', 'error')}${code} ${block.message}`)
  if (block.where !== undefined) terminal.say(row(terminal, 'where', block.where))
  if (block.cause !== undefined) terminal.say(row(terminal, 'cause', block.cause))
  for (const [index, line] of (block.fix ?? []).entries()) terminal.say(row(terminal, index === 0 ? 'fix' : '', line))
}

function row(terminal: Terminal, name: string, text: string): string {
  return `  ${terminal.style('dim', name.padEnd(5))}  ${text}`
}

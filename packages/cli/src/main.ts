#!/usr/bin/env node
import { ForebayError } from '@forebay/protocol/errors'
import { Command, CommanderError } from 'commander'
import { registerCommands } from './command-list.ts'
import type { Context } from './context.ts'
import { readEnvironment } from './environment.ts'
import { CommandError, EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { processTerminal, sayError } from './terminal.ts'
import { VERSION } from './version.ts'

const EXAMPLES = `
Examples:
  forebay init                                    a commented forebay.yaml
  forebay up                                      run it
  forebay submit hello '"world"' --wait 10s       hand in a task and print its result
  forebay config check                            every fault of forebay.yaml at once

Each command has --help with examples. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 configuration, 5 no connection,
130 and 143 cut short by SIGINT and SIGTERM.`

let exitCode: ExitCode = EXIT.ok
const context: Context = {
  environment: readEnvironment(),
  terminal: processTerminal(),
  exitWith(code) {
    exitCode = code
  },
}

// A reader that has seen enough (`forebay get … | head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  crash(error)
})
process.on('uncaughtException', crash)

try {
  await (await program()).parseAsync()
} catch (error) {
  exitCode = report(error)
}
process.exitCode = exitCode

async function program(): Promise<Command> {
  const forebay = new Command('forebay')
    .description('Turns requests into durable work and brings the answers back.')
    .version(VERSION)
    .showSuggestionAfterError()
    .showHelpAfterError('(--help shows the flags and examples)')
    .exitOverride()
    .addHelpText('after', EXAMPLES)
  await registerCommands(forebay, context, process.argv[2])
  return forebay
}

function report(error: unknown): ExitCode {
  // Commander has printed its own message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof CommandError) {
    if (!error.shown) sayError(context.terminal, { code: error.code, message: error.message, fix: error.fix })
    return error.exitCode
  }
  if (error instanceof ForebayError) {
    const cause = error.cause instanceof Error ? { cause: error.cause.message } : {}
    sayError(context.terminal, { code: error.code, message: error.message, ...cause })
    return exitCodeOf(error.code)
  }
  crash(error)
}

/** What nobody foresaw: the stack is for us. What was acknowledged is in the log, so ending here loses nothing. */
function crash(error: unknown): never {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  sayError(context.terminal, { code: 'INTERNAL', message })
  process.exit(EXIT.failed)
}

import type { Command } from 'commander'
import { type ConfigFlags, type LoadedConfig, loadConfig } from './config/load-config.ts'
import type { Environment } from './environment.ts'
import { CommandError, EXIT, type ExitCode } from './exit-codes.ts'
import { sayError, type Terminal } from './terminal.ts'

/** What every command gets. */
export interface Context {
  readonly environment: Environment
  readonly terminal: Terminal
  /** Exit code of a command that ends in order; an error says its own. Default 0. */
  exitWith(code: ExitCode): void
}

/** Adds the flags that say which configuration is meant. */
export function withConfigFlags(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file (FOREBAY_CONFIG; default: ./forebay.yaml if there is one)')
    .option('--set <key=value>', 'override one key, as http.listen=0.0.0.0:8080; may be repeated', collect, [])
}

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value]
}

/** The configuration, or the end of the command with every fault printed. */
export function requireConfig(context: Context, flags: ConfigFlags & { readonly json?: boolean }) {
  const loaded = loadConfig(flags, context.environment)
  sayFindings(context.terminal, loaded, flags.json ?? false)
  if (!loaded.ok) {
    const message = 'The configuration cannot be used.'
    throw new CommandError(EXIT.configInvalid, message, { code: 'CONFIG_INVALID', shown: true })
  }
  return loaded
}

/** Every fault as a block, or as one JSON object a line on stdout. */
export function sayFindings(terminal: Terminal, loaded: LoadedConfig, json: boolean): void {
  for (const warning of loaded.warnings) terminal.say(`${terminal.style('yellow', 'warning')}  ${warning}`)
  if (loaded.ok) return
  for (const fault of loaded.faults) {
    if (json) terminal.data(JSON.stringify({ code: 'CONFIG_INVALID', ...fault }))
    else {
      const where = fault.path === '' ? fault.where : `${fault.where}  ${fault.path}`
      sayError(terminal, { code: 'CONFIG_INVALID', message: fault.message, where, fix: [fault.fix] })
    }
  }
  const count = loaded.faults.length
  if (!json) terminal.say(`${count} ${count === 1 ? 'fault' : 'faults'} in the configuration.`)
}

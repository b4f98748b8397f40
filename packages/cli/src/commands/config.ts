import { optionsSchema } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { CONFIG_FILE_DEFAULT, loadConfig } from '../config/load-config.ts'
import { type Context, sayFindings, withConfigFlags } from '../context.ts'
import { EXIT } from '../exit-codes.ts'

interface CheckFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

export function registerConfig(program: Command, context: Context): void {
  const config = program.command('config').description('Checks forebay.yaml, prints its JSON Schema.')
  withConfigFlags(config.command('check').argument('[file]', 'default: --config, FOREBAY_CONFIG or ./forebay.yaml'))
    .description('Names every fault of the configuration at once, with its place; exit code 4 if there is one.')
    .option('--json', 'one JSON object a fault, on stdout')
    .addHelpText('after', CHECK_EXAMPLES)
    .action((file: string | undefined, flags: CheckFlags) => check(file, flags, context))
  config
    .command('schema')
    .description('Prints the JSON Schema of forebay.yaml, for editors.')
    .addHelpText('after', SCHEMA_EXAMPLES)
    .action(() => context.terminal.data(JSON.stringify(optionsSchema(), null, 2)))
}

const CHECK_EXAMPLES = `
Examples:
  forebay config check
  forebay config check production.yaml --json
  FOREBAY_BROKER=kafka://kafka:9092 forebay config check`

const SCHEMA_EXAMPLES = `
Example:
  forebay config schema > forebay.schema.json

Editors with a YAML language server take it from a first line in forebay.yaml:
  # yaml-language-server: $schema=forebay.schema.json`

function check(file: string | undefined, flags: CheckFlags, context: Context): void {
  const { terminal } = context
  const loaded = loadConfig(file === undefined ? flags : { ...flags, config: file }, context.environment)
  sayFindings(terminal, loaded, flags.json ?? false)
  if (!loaded.ok) {
    context.exitWith(EXIT.configInvalid)
    return
  }
  const { options } = loaded
  const queues = [...options.queues.keys()]
  if (flags.json) {
    terminal.data(JSON.stringify({ ok: true, file: loaded.file, broker: options.broker.kind, queues }))
    return
  }
  const name = loaded.file ?? `No ${CONFIG_FILE_DEFAULT} here, so the defaults:`
  terminal.data(
    `${name} ok: broker ${options.broker.kind}, ${queues.length} queues${queues.length > 0 ? `: ${queues.join(', ')}` : ''}`,
  )
}

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { optionsSchema } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { CONFIG_FILE_DEFAULT } from '../config/load-config.ts'
import { CONFIG_TEMPLATE } from '../config/template.ts'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'

export const SCHEMA_FILE = 'forebay.schema.json'

export function registerInit(program: Command, context: Context): void {
  program
    .command('init')
    .argument('[folder]', 'where to write', '.')
    .description(`Writes a commented ${CONFIG_FILE_DEFAULT} and ${SCHEMA_FILE} for editors; never overwrites.`)
    .addHelpText('after', EXAMPLES)
    .action((folder: string) => init(folder, context))
}

const EXAMPLES = `
Examples:
  forebay init
  forebay init deploy/ && forebay config check deploy/forebay.yaml`

function init(folder: string, { terminal }: Context): void {
  const file = join(folder, CONFIG_FILE_DEFAULT)
  write(file, CONFIG_TEMPLATE)
  const schema = join(folder, SCHEMA_FILE)
  if (!existsSync(schema)) write(schema, `${JSON.stringify(optionsSchema(), null, 2)}\n`)
  terminal.data(file)
  terminal.say('Next: forebay up')
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      const fix = [`Edit it, or move it away first.`, `forebay config check ${file}    says whether it is right.`]
      throw new CommandError(EXIT.failed, `${file} is there already; it stays as it is.`, { fix })
    }
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(EXIT.failed, `${file} cannot be written: ${why}.`, { cause: error })
  }
}

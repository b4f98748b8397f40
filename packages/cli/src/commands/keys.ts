import { createHash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { resolveOptions } from '@forebay/server/configuration'
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'

export function registerKeys(program: Command, context: Context): void {
  const keys = program.command('keys').description('Makes access keys.')
  keys
    .command('new')
    .argument('<principal>', 'who will call with it')
    .description('Prints a new key once, and the lines for forebay.yaml that let it in. Neither is kept.')
    .option('--json', 'one JSON object on stdout: principal, key, sha256')
    .addHelpText('after', EXAMPLES)
    .action((principal: string, flags: { readonly json?: boolean }) => newKey(principal, flags, context))
}

const EXAMPLES = `
Examples:
  forebay keys new shop
  forebay keys new shop --json

Callers send it as \`Authorization: Bearer KEY\`. forebay.yaml holds only its SHA-256.`

function newKey(principal: string, flags: { readonly json?: boolean }, { terminal }: Context): void {
  const key = `fbk_${randomBytes(KEY_BYTES).toString('base64url')}`
  const sha256 = createHash('sha256').update(key).digest('hex')
  requireLegal(principal, sha256)
  if (flags.json) {
    terminal.data(JSON.stringify({ principal, key, sha256 }))
    return
  }
  terminal.say('The key, shown only now:')
  terminal.data(key)
  terminal.say('')
  terminal.say('For forebay.yaml:')
  terminal.say(`auth:\n  keys:\n    - principal: ${JSON.stringify(principal)}\n      sha256: "${sha256}"`)
}

/** The configuration's own rules say which names it would take. */
function requireLegal(principal: string, sha256: string): void {
  const context = { hostname: hostname(), folderOf: () => process.cwd() }
  const resolution = resolveOptions({ auth: { keys: [{ principal, sha256 }] } }, context)
  if (resolution.ok) return
  const [fault] = resolution.faults
  throw new CommandError(EXIT.usage, fault?.message ?? 'This name cannot be used.', { fix: fault ? [fault.fix] : [] })
}

/** 256 bits. */
const KEY_BYTES = 32

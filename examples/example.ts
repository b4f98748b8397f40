import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** `npm run example -- NAME [options]` runs examples/NAME/run.ts; without a name it lists what there is. */

const [name, ...args] = process.argv.slice(2)
const names = readdirSync(import.meta.dirname).filter((each) => existsSync(join(import.meta.dirname, each, 'run.ts')))

if (name !== undefined && names.includes(name)) {
  const child = spawn(process.execPath, [join(import.meta.dirname, name, 'run.ts'), ...args], { stdio: 'inherit' })
  // Ctrl-C goes to both of us; the child is the one that cleans up, and we wait for it.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  const [code] = await once(child, 'exit')
  process.exitCode = code ?? 1
} else {
  if (name !== undefined) console.error(`There is no example '${name}'.`)
  console.log('Examples (npm run example -- NAME):\n')
  for (const each of names) console.log(`  ${each.padEnd(22)} ${firstSentence(each)}`)
  process.exitCode = name === undefined ? 0 : 2
}

/** What its README says below the title. */
function firstSentence(example: string): string {
  const readme = join(import.meta.dirname, example, 'README.md')
  if (!existsSync(readme)) return ''
  const [, paragraph = ''] = readFileSync(readme, 'utf8').split(/\n\n/)
  return paragraph.replaceAll('\n', ' ').replace(/(\.)\s.*/, '$1')
}

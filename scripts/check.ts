import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GENERATED, generate } from './generate.ts'
import { readTree } from './read-tree.ts'
import { untidy } from './tidy.ts'

/** `npm run check`: all that can be said without running anything. Each check says what is wrong; the exit code is 1 then. */

interface Check {
  readonly name: string
  /** What is wrong; empty when nothing is. */
  run(): string
}

const checks: readonly Check[] = [
  { name: 'types', run: () => command('tsc', ['-p', '.']) },
  { name: 'format and lint', run: () => command('biome', ['check', '.']) },
  { name: 'proto lint', run: () => command('buf', ['lint'], 'packages/protocol') },
  { name: 'generated files', run: drift },
  { name: 'tidy', run: () => untidy(readTree(`${process.cwd()}/`)).join('\n') },
]

let failed = 0
for (const { name, run } of checks) {
  const fault = run().trim()
  if (fault !== '') failed++
  console.log(fault === '' ? `ok      ${name}` : `FAILED  ${name}\n${fault.replace(/^/gm, '        ')}`)
}
console.log(`\n${checks.length - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

function command(name: string, args: readonly string[], cwd = '.'): string {
  const { status, error, stdout, stderr } = spawnSync(`${process.cwd()}/node_modules/.bin/${name}`, args, {
    cwd,
    encoding: 'utf8',
  })
  if (error !== undefined) return `${name} cannot be run: ${error.message}`
  return status === 0 ? '' : `${stdout}${stderr}` || `${name} ended with exit code ${status}`
}

/** Generates once more, elsewhere, and compares. */
function drift(): string {
  const fresh = mkdtempSync(join(tmpdir(), 'forebay-generated-'))
  try {
    generate(fresh)
    const differences = GENERATED.map((path) => {
      const { status, stdout, stderr } = spawnSync('diff', ['-rq', path, join(fresh, path)], { encoding: 'utf8' })
      return status === 0 ? '' : `${stdout}${stderr}`
    }).join('')
    return differences === '' ? '' : `${differences}Run: npm run generate`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

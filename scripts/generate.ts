import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { optionsSchema } from '@forebay/server/configuration'

/**
 * Writes what is generated and committed: protobuf code, the JSON Schema of forebay.yaml. `npm run generate`; another
 * root than the repository lets `check` compare.
 */
export function generate(root: string): void {
  const out = resolve(root, 'packages/protocol')
  mkdirSync(out, { recursive: true })
  const { status, stderr } = spawnSync(resolve('node_modules/.bin/buf'), ['generate', '--output', out], {
    cwd: 'packages/protocol',
    encoding: 'utf8',
    env: { ...process.env, PATH: `${resolve('node_modules/.bin')}:${process.env.PATH}` },
  })
  if (status !== 0) throw new Error(`buf generate failed:\n${stderr}`)
  write(join(root, 'packages/server/forebay.schema.json'), `${JSON.stringify(optionsSchema(), null, 2)}\n`)
}

/** What `generate` writes, by path from the root. */
export const GENERATED = ['packages/protocol/src/gen', 'packages/server/forebay.schema.json']

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

if (import.meta.main) generate(process.cwd())

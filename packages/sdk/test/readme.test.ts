import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

/** What the README's reader has already. */
const GIVEN = `
declare function resize(image: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
declare const image: Uint8Array
declare const upload: { id: string }
declare function sendWelcome(email: string): Promise<void>
`

test("the README's TypeScript keeps to the types of the SDK", () => {
  const snippets = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n(.*?)^```/gms)].map(
    ([, code]) => code!,
  )
  assert.ok(snippets.some((code) => code.includes('@forebay/sdk/worker')))
  assert.ok(snippets.some((code) => code.includes('@forebay/sdk/client')))
  const dir = mkdtempSync(join(tmpdir(), 'forebay-readme-'))
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
    writeFileSync(join(dir, 'package.json'), '{ "type": "module" }')
    const files = snippets.map((_, index) => `snippet-${index + 1}.ts`)
    for (const [index, code] of snippets.entries()) writeFileSync(join(dir, files[index]!), `${code}${GIVEN}`)
    const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'))
    writeFileSync(
      join(dir, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, noUnusedLocals: false }, files }),
    )
    const tsc = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', dir], {
      encoding: 'utf8',
    })
    // Faults of this workspace's own sources, which the snippets import, are for other checks to tell.
    const faults = tsc.stdout.split('\n').filter((line) => /snippet-\d+\.ts/.test(line))
    assert.deepEqual(faults, [])
    assert.ok(tsc.status === 0 || tsc.stdout.includes('error TS'), `tsc did not run: ${tsc.stderr}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import { parse } from 'yaml'
import { resolveOptions } from '../src/resolve-options.ts'
import { webhookHeaders } from '../src/webhooks/message.ts'
import { newWebhookSecret } from '../src/webhooks/signature.ts'

/** What docs/webhooks.md tells receivers to do is run here. */
const page = readFileSync(new URL('../../../docs/webhooks.md', import.meta.url), 'utf8')
const piece = (language: string) => new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(page)![1]!
const noPython = spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is not installed'

interface Case {
  readonly secret: string
  readonly headers: Record<string, string>
  readonly body: string
  readonly right: boolean
}

test('the piece of forebay.yaml is one that the server takes', () => {
  assert.ok(resolveOptions(parse(piece('yaml')), { hostname: 'host', folderOf: () => '/' }).ok)
})

test('the TypeScript of the page lets through what we sign, and nothing else', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-page-'))
  try {
    writeFileSync(join(dir, 'verify.mts'), piece('ts'))
    const { verify } = (await import(join(dir, 'verify.mts'))) as {
      verify(secret: string, headers: Headers, body: string): boolean
    }
    for (const [index, { secret, headers, body, right }] of cases().entries()) {
      assert.equal(verify(secret, new Headers(headers), body), right, String(index))
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('the Python of the page does the same', { skip: noPython }, () => {
  const run = `
import json, sys
print(json.dumps([verify(c["secret"], c["headers"], c["body"].encode()) for c in json.load(sys.stdin)]))`
  const all = cases()
  const { stdout, stderr } = spawnSync('python3', ['-c', piece('python') + run], { input: JSON.stringify(all) })
  assert.equal(String(stderr), '')
  assert.deepEqual(
    JSON.parse(String(stdout)),
    all.map(({ right }) => right),
  )
})

function cases(): Case[] {
  const [next, old, other] = [0, 1, 2].map(() => newWebhookSecret(systemRandom)) as [string, string, string]
  const body = '{"type":"task.succeeded","data":{"ü":1}}'
  const sign = (secrets: readonly string[], wallMs = Date.now()) => {
    const headers = webhookHeaders({ id: 'cb_1', secrets, wallMs }, Buffer.from(body))
    return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('webhook-')))
  }
  return [
    { secret: next, headers: sign([next]), body, right: true },
    { secret: next, headers: sign([next, old]), body, right: true },
    { secret: old, headers: sign([next, old]), body, right: true },
    { secret: other, headers: sign([next, old]), body, right: false },
    { secret: next, headers: sign([next]), body: `${body} `, right: false },
    { secret: next, headers: { ...sign([next]), 'webhook-id': 'cb_2' }, body, right: false },
    { secret: next, headers: sign([next], Date.now() - 3_600_000), body, right: false },
    { secret: next, headers: { ...sign([next]), 'webhook-signature': 'v1,' }, body, right: false },
  ]
}

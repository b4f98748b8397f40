import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createWorker, type Worker } from '@forebay/sdk/worker'
import { hasPython, pythonPackages } from '../../scripts/rig/python-packages.ts'
import { type Forebay, startForebay } from '../forebay.ts'

const run = promisify(execFile)
const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'
const KEY = 'key-of-ann'

const ORDER = {
  type: 'object',
  required: ['size', 'lines'],
  properties: { size: { enum: ['small', 'large'] }, lines: { type: 'array', items: { $ref: '#/$defs/line' } } },
  $defs: { line: { type: 'object', required: ['sku'], properties: { sku: { type: 'string' } } } },
}

let dir: string
let forebay: Forebay
let worker: Worker
/** Where Python's packages are. */
let bin: string
before(async () => {
  if (skip !== false) return
  dir = mkdtempSync(join(tmpdir(), 'forebay-openapi-'))
  bin = join(await pythonPackages(['openapi-python-client==0.29.1', 'openapi-spec-validator==0.9.0']), 'bin')
  forebay = await startForebay({
    config: {
      auth: { keys: [{ principal: 'ann', sha256: hash('sha256', KEY), operator: true }] },
      queues: {
        orders: { route: 'POST /orders/{customer}', key: 'path.customer', order: 'key', schema: ORDER },
        blobs: {},
      },
    },
  })
  const echo = async (task: { bytes(): Uint8Array; readonly contentType: string }) => {
    return { body: task.bytes(), contentType: task.contentType }
  }
  worker = createWorker({ server: forebay.grpc, queues: { orders: echo, blobs: echo } })
  const document = await fetch(`${forebay.url}/openapi.json`, { headers: { authorization: `Bearer ${KEY}` } })
  writeFileSync(join(dir, 'openapi.json'), await document.text())
})
after(async () => {
  if (skip !== false) return
  await worker.stop()
  await forebay[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true, force: true })
})

test('the document of a running server is OpenAPI 3.1 by its meta-schema', { skip }, async () => {
  const { stdout } = await run(join(bin, 'python'), ['-m', 'openapi_spec_validator', join(dir, 'openapi.json')])
  assert.match(stdout, /OK/)
})

test('a client generated from it hands tasks in, reads states and results, and knows the problems', {
  skip,
}, async () => {
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` }
  const made = ['generate', '--path', join(dir, 'openapi.json'), '--meta', 'none']
  const generated = await run(
    join(bin, 'openapi-python-client'),
    [...made, '--output-path', join(dir, 'forebay_api')],
    { env },
  )
  const said = generated.stdout + generated.stderr
  // It knows no type of bodies but its own few, and sends bytes without it, nor one of answers in lines; nothing else may
  // be missing.
  const expected = said.match(/Unsupported (content type \*\/\*|content_type application\/x-ndjson)/g) ?? []
  assert.equal((said.match(/WARNING|ERROR|will not be generated/g) ?? []).length, expected.length, said)
  const caller = fileURLToPath(new URL('caller.py', import.meta.url))
  const { stdout } = await run(join(bin, 'python'), [caller, forebay.url, KEY], { env: { ...env, PYTHONPATH: dir } })
  const order = { size: 'large', lines: [{ sku: 'a' }, { sku: 'b' }] }
  assert.deepEqual(JSON.parse(stdout), {
    same: true,
    state: 'succeeded',
    attempts: 1,
    result: order,
    waited: order,
    plain: [200, '00ff'],
    ready: true,
    callbacks: 0,
    problems: ['IDEMPOTENCY_MISMATCH', 'TASK_ENDED', 'TASK_NOT_FOUND', 'UNAUTHENTICATED'],
  })
})

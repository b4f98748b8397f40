import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { exampleOf } from '../src/openapi/example.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions, sendRaw } from './support/doors-rig.ts'

const run = promisify(execFile)
const WILD = `<script>alert("1" & '2')</script>`

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({
    auth: accessKeys({ ann: 'key-of-ann' }),
    http: { docsOpen: true },
    queues: [
      queueOptions('orders', {
        route: { method: 'PUT', path: '/orders/{customer}', parameters: ['customer'] },
        key: { from: 'path', parameter: 'customer' },
        idempotency: { required: true, windowMs: 60_000 },
        schema: {
          type: 'object',
          required: ['name', 'count', 'lines', 'when'],
          properties: {
            name: { type: 'string', minLength: 12, description: WILD },
            count: { type: 'integer', minimum: 3, multipleOf: 5 },
            lines: { type: 'array', minItems: 2, items: { $ref: '#/$defs/line' } },
            when: { type: 'string', format: 'date-time' },
            note: { type: 'string', examples: ["it's 'quoted' & <wild>"] },
          },
          $defs: { line: { type: 'object', required: ['sku'], properties: { sku: { enum: ["o'neill", 'b'] } } } },
        },
      }),
      queueOptions('by-body', { key: { from: 'body', pointer: '/customer/ids/0' } }),
      queueOptions('by-header', { key: { from: 'header', header: 'x-customer' } }),
      queueOptions('unguessable', {
        schema: { type: 'object', required: ['a'], properties: { a: { type: 'string', pattern: '^q{9}$' } } },
      }),
    ],
  })
})
after(() => rig.stop())

test('the lines that hand a task in do so, as they stand on the page', async () => {
  const page = await fetchPage()
  const lines = [...curlLines(page)].filter(([id]) => id.startsWith('submit'))
  assert.equal(lines.length, 6)
  for (const [id, line] of lines) {
    const { stdout } = await run('sh', ['-c', line], { env: { ...process.env, FOREBAY_KEY: 'key-of-ann' } })
    if (id === 'submit_unguessable') assert.match(line, /--data-binary '@body'/)
    // The queue that the first line names wants what only its own lines have.
    else if (id === 'submitTask') assert.match(stdout, /^HTTP\/1\.1 (202|4\d\d) /)
    else assert.match(stdout, /^HTTP\/1\.1 202 /, `${id}: ${line}\n${stdout}`)
  }
})

test('the lines that read and cancel a task do so', async () => {
  const page = await fetchPage()
  const submitted = await fetch(`${rig.url}/v1/queues/by-header/tasks`, {
    method: 'POST',
    headers: { authorization: 'Bearer key-of-ann', 'x-customer': 'ann' },
  })
  const { id } = (await submitted.json()) as { id: string }
  const lines = curlLines(page)
  for (const [operation, status] of [
    ['getTask', 200],
    ['getResult', 409],
    ['cancelTask', 200],
  ] as const) {
    const env = { ...process.env, FOREBAY_KEY: 'key-of-ann', TASK: id }
    const { stdout } = await run('sh', ['-c', lines.get(operation)!], { env })
    assert.match(stdout, new RegExp(`^HTTP/1\\.1 ${status} `), stdout)
  }
})

test('the page runs nothing, fetches nothing and shows what others wrote as text', async () => {
  const response = await fetch(`${rig.url}/docs`)
  const page = await response.text()
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8')
  const style = /<style>([\s\S]*?)<\/style>/.exec(page)![1]!
  const policy = response.headers.get('content-security-policy')!
  assert.ok(policy.startsWith("default-src 'none'; "))
  assert.ok(policy.includes(`'sha256-${createHash('sha256').update(style).digest('base64')}'`))
  assert.doesNotMatch(page, /<script|<link|<img|<iframe|\son\w+=|\sstyle=|javascript:/i)
  assert.ok(page.includes('&#60;script&#62;alert('))
  for (const [, target = ''] of page.matchAll(/href="([^"]*)"/g)) {
    assert.ok(target === '/openapi.json' || page.includes(`id="${target.slice(1)}"`), target)
  }
})

test('lines are for the address that the reader came by, and never for what is no address', async () => {
  const through = await fetch(`${rig.url}/docs`, { headers: { 'x-forwarded-proto': 'https' } })
  assert.match(await through.text(), /curl -i &#34;https:\/\/127\.0\.0\.1:\d+\/livez/)
  const odd = await sendRaw(rig.port, 'GET /docs HTTP/1.1\r\nHost: a"$(id)`<b>\r\nConnection: close\r\n\r\n', 5_000)
  assert.match(odd, /http:\/\/127\.0\.0\.1:8080\/livez/)
  assert.ok(!odd.includes('$(id)'))
})

test('an example meets the bounds of its schema, or says that there is none', () => {
  const root = { $defs: { deep: { $ref: '#/$defs/deep' } } }
  assert.equal(exampleOf({ type: 'integer', minimum: 7, multipleOf: 5 }, root), 10)
  assert.equal(exampleOf({ type: 'number', exclusiveMinimum: 2 }, root), 3)
  assert.equal(exampleOf({ type: 'integer', maximum: -4 }, root), -5)
  assert.equal(exampleOf({ type: 'string', minLength: 6, maxLength: 8 }, root), 'textxx')
  assert.equal(exampleOf({ type: ['null', 'string'], const: 'x' }, root), 'x')
  assert.deepEqual(
    exampleOf({ allOf: [{ required: ['a'], properties: { a: { enum: [1] } } }], properties: {} }, root),
    { a: 1 },
  )
  assert.equal(exampleOf({ $ref: '#/$defs/deep' }, root), null)
  assert.equal(exampleOf({ $ref: 'https://example.com/schema' }, root), null)
})

async function fetchPage(): Promise<string> {
  const response = await fetch(`${rig.url}/docs`)
  assert.equal(response.status, 200)
  return await response.text()
}

/** By operation. */
function curlLines(page: string): Map<string, string> {
  const found = page.matchAll(/<section id="(\w+)">[\s\S]*?<pre class="curl">([\s\S]*?)<\/pre>/g)
  return new Map(
    [...found].map(([, id, line]) => [id!, line!.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code))]),
  )
}

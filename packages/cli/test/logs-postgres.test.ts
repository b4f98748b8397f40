import assert from 'node:assert/strict'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

test('logs in PostgreSQL: two processes write them, either answers for both, and the command alone when they have gone', async () => {
  await using postgres = await startPostgres()
  using first = temporaryFolder()
  using second = temporaryFolder()
  for (const folder of [first, second]) {
    const edge = `edge: { files: [{ path: access.log }], logs: { store: '${postgres.url}' } }`
    writeFileSync(join(folder.path, 'forebay.yaml'), `partitions: 1\nqueues: { hello: {} }\n${edge}\n`)
    writeFileSync(join(folder.path, 'access.log'), '')
  }
  const [one, other] = await Promise.all(
    [first, second].map(({ path }, index) => up(path, ['--set', `instance=i${index}`])),
  )
  await using _one = one!
  await using _other = other!
  const tasks = await Promise.all(
    [one!, other!].map(({ url }) => fetch(`${url}/v1/queues/hello/tasks`, { method: 'POST', body: '{}' })),
  )
  assert.deepEqual(
    tasks.map(({ status }) => status),
    [202, 202],
  )
  const append = (folder: string, path: string, status: number) => {
    const row = { v: 1, kind: 'access', time: new Date().toISOString(), path, status }
    appendFileSync(join(folder, 'access.log'), `${JSON.stringify(row)}\n`)
  }
  append(first.path, '/one', 200)
  append(second.path, '/other', 200)
  const sql = 'SELECT DISTINCT path FROM access UNION ALL SELECT queue FROM tasks ORDER BY path'
  const both = [['/one'], ['/other'], ['hello'], ['hello']]
  for (const { url } of [one!, other!]) {
    while (JSON.stringify(await rowsOf(url, sql)) !== JSON.stringify(both));
  }
  const refused = await ask(one!.url, 'query', { sql: "COPY access TO '/tmp/x'" })
  assert.equal(refused.status, 422)
  assert.match(await refused.text(), /QUERY_REFUSED/)
  const tail = await ask(one!.url, 'tail', { where: 'status = 502' })
  const lines = createInterface({ input: Readable.fromWeb(tail.body as never) })[Symbol.asyncIterator]()
  assert.match(String((await lines.next()).value), /^\{"columns":/)
  append(second.path, '/tailed', 502)
  assert.match(String((await lines.next()).value), /^\{"rows":.*"\/tailed"/)
  await lines.return?.()
  for (const server of [one!, other!]) {
    server.child.kill('SIGTERM')
    await server.stopped
  }
  const unused = ['--set', 'http.listen=127.0.0.1:9', '--csv']
  const alone = await forebay(['logs', 'query', `${sql} LIMIT 2`, ...unused], { cwd: first.path })
  assert.equal(alone.stdout, 'path\n/one\n/other\n', alone.stderr)
})

function ask(url: string, what: string, question: object): Promise<Response> {
  return fetch(`${url}/v1/admin/logs/${what}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(question),
  })
}

async function rowsOf(url: string, sql: string): Promise<unknown[]> {
  const answer = await ask(url, 'query', { sql })
  const lines = (await answer.text()).split('\n').filter((line) => line !== '')
  return lines.flatMap((line) => (JSON.parse(line) as { readonly rows?: unknown[] }).rows ?? [])
}

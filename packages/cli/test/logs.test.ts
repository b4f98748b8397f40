import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { createWorker } from '@forebay/sdk/worker'
import { cleanEnvironment, forebay, MAIN, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

const CONFIG = `partitions: 1
queues: { thumbnails: {} }
edge: { files: [{ path: access.log }] }
`

test('forebay up keeps what nginx writes: queried and tailed over HTTP, and from the folder when it has gone; a request leads to its task', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), CONFIG)
  const log = join(folder.path, 'access.log')
  writeFileSync(log, '')
  await using server = await up(folder.path)
  const tail = spawn(
    process.execPath,
    [MAIN, 'logs', 'tail', '--where', 'status >= 500', '--json', '--url', server.url],
    { cwd: folder.path, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const tailed = createInterface({ input: tail.stdout })[Symbol.asyncIterator]()
  const accepted = await fetch(`${server.url}/v1/queues/thumbnails/tasks`, { method: 'POST', body: '{}' })
  const { id } = (await accepted.json()) as { readonly id: string }
  const following = tailed.next()
  let seen: IteratorResult<string> | null = null
  void following.then((line) => {
    seen = line
  })
  const about = (status: number) => line({ path: `/v1/tasks/${id}`, task: id, status })
  // Who follows begins at what comes from now on, whenever that is.
  while (seen === null) {
    appendFileSync(log, about(200) + about(502))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const row = JSON.parse(String((await following).value)) as Record<string, unknown>
  assert.deepEqual([row.status, row.task], [502, id])
  tail.kill('SIGINT')
  assert.deepEqual(await once(tail, 'close'), [0, null])

  const joined = `SELECT DISTINCT access.status, tasks.queue, tasks.state FROM access JOIN tasks USING (task) ORDER BY 1`
  const both = [
    { status: 200, queue: 'thumbnails', state: 'accepted' },
    { status: 502, queue: 'thumbnails', state: 'accepted' },
  ]
  const asked = await logs(folder.path, ['query', joined, '--json', '--url', server.url])
  assert.deepEqual(asked, both)
  const refused = await forebay(['logs', 'query', "COPY access TO 'x'", '--url', server.url], { cwd: folder.path })
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /QUERY_REFUSED.*\n?.*Only SELECT/)
  const csv = await forebay(['logs', 'query', `SELECT 'a,"b"' AS x, 1 AS y`, '--csv', '--url', server.url])
  assert.equal(csv.stdout, 'x,y\n"a,""b""",1\n')

  server.child.kill('SIGTERM')
  await server.stopped
  const unused = ['--set', 'http.listen=127.0.0.1:9', '--dir', join(folder.path, '.forebay', 'logs')]
  assert.deepEqual(await logs(folder.path, ['query', joined, '--json', ...unused]), both)
  const table = await forebay(['logs', 'query', joined, ...unused], { cwd: folder.path })
  assert.equal(table.stdout, 'status  queue       state\n   200  thumbnails  accepted\n   502  thumbnails  accepted\n')
})

test('each attempt of a task and its end are there, beside the trace of the request that brought it', async () => {
  using folder = temporaryFolder()
  const retry = 'queues: { hello: { retry: { attempts: 3, backoff: 10ms } } }'
  writeFileSync(join(folder.path, 'forebay.yaml'), `partitions: 1\n${retry}\nedge: { logs: { store: local } }\n`)
  await using server = await up(folder.path)
  let calls = 0
  await using _worker = createWorker({
    server: server.grpc,
    queues: {
      hello: () => {
        if (++calls < 2) throw new Error('not yet')
        return 'hello'
      },
    },
  })
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const answer = await fetch(`${server.url}/v1/queues/hello/tasks`, {
    method: 'POST',
    body: '{}',
    headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01`, prefer: 'wait=20' },
  })
  assert.equal(await answer.text(), 'hello')
  const ask = (sql: string) => logs(folder.path, ['query', sql, '--json', '--url', server.url])
  const tasks = `SELECT queue, state, attempts, trace, code, finished >= accepted AS ended FROM tasks`
  for (;;) {
    const rows = (await ask(tasks)) as { readonly state: string }[]
    if (rows[0]?.state !== 'succeeded') continue
    assert.deepEqual(rows, [{ queue: 'hello', state: 'succeeded', attempts: 2, trace, code: null, ended: true }])
    break
  }
  const attempts = await ask('SELECT attempt, state, code FROM attempts ORDER BY attempt')
  assert.deepEqual(attempts, [
    { attempt: 1, state: 'retrying', code: 'WORKER_FAILED' },
    { attempt: 2, state: 'succeeded', code: null },
  ])
})

test('logs belong to operators: a key that is none is refused', async () => {
  using folder = temporaryFolder()
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  writeFileSync(
    join(folder.path, 'forebay.yaml'),
    `${CONFIG}auth: { keys: [{ principal: ann, sha256: ${hash('plain')} }, { principal: op, sha256: ${hash('operator')}, operator: true }] }\n`,
  )
  await using server = await up(folder.path)
  const ask = (key: string) =>
    forebay(['logs', 'query', 'SELECT 1 AS one', '--json', '--url', server.url], { env: { FOREBAY_KEY: key } })
  const [plain, operator] = [await ask('plain'), await ask('operator')]
  assert.match(plain.stderr, /FORBIDDEN/)
  assert.equal(operator.stdout, '{"one":1}\n', operator.stderr)
})

test('a query that is interrupted ends at once with 130, at the gateway of the configuration and in the folder', async () => {
  using folder = temporaryFolder()
  const [endless, count] = ['SELECT count(*) FROM range(1000000000000)', 'SELECT 7 AS seven']
  writeFileSync(
    join(folder.path, 'forebay.yaml'),
    'partitions: 1\nqueues: { hello: {} }\nedge: { logs: { store: local } }\n',
  )
  await using server = await up(folder.path)
  await server.says(/keeping logs/)
  const listen = ['--set', `http.listen=${new URL(server.url).host}`, '--set', 'data=nowhere']
  assert.deepEqual(await logs(folder.path, ['query', count, '--json', ...listen]), [{ seven: 7 }])
  for (const place of [listen, ['--dir', join(folder.path, '.forebay', 'logs')]]) {
    const child = spawn(process.execPath, [MAIN, 'logs', 'query', endless, ...place], {
      ...{ cwd: folder.path, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] },
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const closed = once(child, 'close')
    while (!hasChild(place === listen ? server.child.pid! : child.pid!))
      await new Promise((resolve) => setTimeout(resolve, 50))
    child.kill('SIGINT')
    assert.deepEqual(await closed, [130, null])
    assert.equal(said, '')
  }
})

/** A query is under way where there is a process for it. */
function hasChild(pid: number): boolean {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') !== ''
}

async function logs(cwd: string, args: readonly string[]): Promise<unknown[]> {
  const { code, stdout, stderr } = await forebay(['logs', ...args], { cwd })
  assert.equal(code, 0, stderr)
  return stdout
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as unknown)
}

function line(more: object): string {
  const row = { v: 1, kind: 'access', time: new Date().toISOString(), query: '', method: 'GET', seconds: 0.1, ...more }
  return `${JSON.stringify({ ...row, requestId: '', trace: '' })}\n`
}

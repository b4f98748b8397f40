import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { resolveOptions } from '../src/resolve-options.ts'

const folder = mkdtempSync(join(tmpdir(), 'forebay-options-'))
after(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'broken.json'), '{')
writeFileSync(join(folder, 'schema.json'), '{"type": "object", "required": ["to"]}')

function faultsOf(given: unknown): string[] {
  const resolution = resolveOptions(given, { hostname: 'host-1', folderOf: () => folder })
  return resolution.ok
    ? []
    : resolution.faults.map((fault) => `${fault.path.join('.')} | ${fault.message} | ${fault.fix}`)
}

function queue(policy: object): object {
  return { queues: { hello: policy } }
}

function schedule(entry: object): object {
  return queue({ schedule: { nightly: entry } })
}

/** What is given, the path that is blamed, and what the fault has to say. */
const CASES: readonly (readonly [given: unknown, path: string, says: RegExp])[] = [
  ['text', '', /stands where keys and values belong/],
  [[1], '', /stands where keys and values belong/],
  [{ htpp: {} }, 'htpp', /no key "htpp".*Did you mean `http`/],
  [{ http: { bodymax: 1 } }, 'http.bodymax', /Did you mean `bodyMax`/],
  [{ http: { zzzzzzzz: 1 } }, 'http.zzzzzzzz', /Known here: listen, bodyMax/],
  [queue({ retries: 3 }), 'queues.hello.retries', /Did you mean `retry`/],
  [queue({ retry: { attempt: 3 } }), 'queues.hello.retry.attempt', /Did you mean `attempts`/],
  [{ broker: 'rabbitmq://localhost' }, 'broker', /no broker "rabbitmq/],
  [{ broker: 'kafka://' }, 'broker', /not the address of a Kafka server/],
  [{ broker: 'kafka://a:9092,,b' }, 'broker', /not the address of a Kafka server/],
  [{ broker: 'kafka://a:0' }, 'broker', /not the address of a Kafka server/],
  [{ broker: 'kafka://me:secret@host:9092' }, 'broker', /holds a password.*kafka\.sasl/],
  [{ store: 'mysql://localhost/db' }, 'store', /no store "mysql.*postgres:\/\/user@host\/database/],
  [{ store: 5 }, 'store', /no store 5/],
  [{ store: 'postgres://localhost' }, 'store', /names no database/],
  [{ edge: { logs: { store: 'postgres://localhost' } } }, 'edge.logs.store', /names no database/],
  [{ edge: { logs: { store: 'mysql://localhost/db' } } }, 'edge.logs.store', /not one of its values/],
  [{ store: 'postgres://me:pw@localhost:port/db' }, 'store', /not the address of a PostgreSQL server/],
  [{ store: 'redis://localhost/orders' }, 'store', /no database's number/],
  [{ store: 'redis://' }, 'store', /not the address of a Redis server/],
  [{ store: 'postgres://localhost/db', postgres: { connections: 0 } }, 'postgres.connections', /out of range/],
  [{ roles: ['gatway'] }, 'roles.0', /not one of its values.*gateway/],
  [{ roles: [] }, 'roles', /does nothing/],
  [{ roles: 'gateway' }, 'roles', /not a list/],
  [{ data: 5 }, 'data', /not a path/],
  [{ http: { listen: '8080' } }, 'http.listen', /not an address.*host:port/],
  [{ http: { listen: 8080 } }, 'http.listen', /not an address/],
  [{ http: { listen: 'localhost:99999' } }, 'http.listen', /not an address/],
  [{ http: { listen: '::1:8080' } }, 'http.listen', /not an address/],
  [{ grpc: { listen: '127.0.0.1:8080' } }, 'grpc.listen', /has port 8080 already/],
  [{ http: { listen: '0.0.0.0:8081' } }, 'grpc.listen', /has port 8081 already/],
  [{ http: { bodyMax: '1 megabyte' } }, 'http.bodyMax', /not a size.*1MiB/],
  [{ http: { bodyMax: '1GiB' } }, 'http.bodyMax', /out of range/],
  [{ http: { bodyMax: -1 } }, 'http.bodyMax', /not a size/],
  [{ http: { acceptingMax: '512KiB' } }, 'http.acceptingMax', /would never fit/],
  [{ http: { waitMax: '2h' } }, 'http.waitMax', /out of range/],
  [{ http: { waitersMax: 1.5 } }, 'http.waitersMax', /not a whole number/],
  [{ grpc: { lease: '10ms' } }, 'grpc.lease', /out of range.*500ms/],
  [{ partitions: 0 }, 'partitions', /out of range/],
  [{ partitions: '12' }, 'partitions', /not a whole number/],
  [{ retention: '1x' }, 'retention', /not a duration.*'30s'/],
  [{ stopGrace: true }, 'stopGrace', /not a duration/],
  [{ auth: { keys: [{ principal: 'shop' }] } }, 'auth.keys.0.sha256', /holds no key/],
  [{ auth: { keys: [{ sha256: 'a'.repeat(64) }] } }, 'auth.keys.0.principal', /belongs to nobody/],
  [{ auth: { keys: [{ principal: 'log', sha256: 'a'.repeat(64) }] } }, 'auth.keys.0.principal', /Forebay's own/],
  [{ auth: { keys: [{ principal: 'x', sha256: 'hunter2' }] } }, 'auth.keys.0.sha256', /64 hex digits/],
  [{ kafka: { sasl: { username: 'me' } }, broker: 'kafka://a' }, 'kafka.sasl.password', /needs a password/],
  [{ kafka: { tls: { ca: 'missing.pem' } }, broker: 'kafka://a' }, 'kafka.tls.ca', /missing\.pem is not there/],
  [{ kafka: { tls: { cert: 'a.pem' } } }, 'kafka.tls.cert', /without its private key/],
  [{ queues: { Hello: null } }, 'queues.Hello', /not a name.*lower-case/],
  [{ queues: { 'a b': null } }, 'queues.a b', /not a name/],
  [{ queues: { ['x'.repeat(101)]: null } }, `queues.${'x'.repeat(101)}`, /not a name.*100/],
  [queue({ route: '/orders' }), 'queues.hello.route', /not a route/],
  [queue({ route: 'GET /orders' }), 'queues.hello.route', /GET cannot hand in.*POST \/orders/],
  [queue({ route: 'POST /v1/orders' }), 'queues.hello.route', /\/v1 is Forebay's own/],
  [queue({ route: 'POST /livez' }), 'queues.hello.route', /Forebay's own/],
  [queue({ route: 'POST /a//b' }), 'queues.hello.route', /segment ""/],
  [queue({ route: 'POST /a/:id' }), 'queues.hello.route', /segment ":id"/],
  [queue({ route: 'POST /{a}/{a}' }), 'queues.hello.route', /stands twice/],
  [queue({ key: 'path.id' }), 'queues.hello.key', /needs a route/],
  [queue({ key: 'path.id', route: 'POST /a/{idd}' }), 'queues.hello.key', /has \{idd\}.*path\.idd/],
  [queue({ key: 'body.customer.id' }), 'queues.hello.key', /body\.\/customer\/id/],
  [queue({ key: 'header.Authorization' }), 'queues.hello.key', /secret/],
  [queue({ key: 'query.id' }), 'queues.hello.key', /no place that a key can come from/],
  [queue({ order: 'fifo' }), 'queues.hello.order', /key, none/],
  [queue({ target: 'worker' }), 'queues.hello.target', /no target/],
  [queue({ target: 'grpc://host/x.Y/Z' }), 'queues.hello.target', /not a host:port/],
  [queue({ target: 'grpc://host:1/x.Y' }), 'queues.hello.target', /names no gRPC method/],
  [queue({ target: 'http://u:p@host/' }), 'queues.hello.target', /holds a password/],
  [queue({ descriptors: 'a.bin' }), 'queues.hello.descriptors', /kind 'workers' has no descriptors/],
  [queue({ target: 'grpc://h:1/x.Y/Z', descriptors: 'a.bin' }), 'queues.hello.descriptors', /a\.bin is not there/],
  [queue({ concurrency: 0 }), 'queues.hello.concurrency', /out of range/],
  [queue({ deadline: '25h' }), 'queues.hello.deadline', /records are kept 1d/],
  [queue({ retry: { attempts: 101 } }), 'queues.hello.retry.attempts', /from 1 to 100/],
  [queue({ retry: { backoff: '1m' } }), 'queues.hello.retry.backoffMax', /longer than the longest/],
  [queue({ retry: { jitter: 'some' } }), 'queues.hello.retry.jitter', /full, none/],
  [queue({ retry: { on: ['TASK_EXPIRED'] } }), 'queues.hello.retry.on.0', /not one of its values.*WORKER_LOST/],
  [queue({ retry: { on: [] } }), 'queues.hello.retry.on', /No failure.*attempts: 1/],
  [queue({ retry: { on: 'WORKER_LOST' } }), 'queues.hello.retry.on', /not a list/],
  [queue({ retry: { budget: '10%' } }), 'queues.hello.retry.budget', /"10%" is no budget.*0\.1/],
  [queue({ retry: { budget: 11 } }), 'queues.hello.retry.budget', /out of range/],
  [queue({ rate: 100 }), 'queues.hello.rate', /not a rate.*100\/s/],
  [queue({ rate: '0.5/s' }), 'queues.hello.rate', /not a rate.*30\/m/],
  [queue({ rate: '5/d' }), 'queues.hello.rate', /not a rate/],
  [queue({ rate: '0/s' }), 'queues.hello.rate', /out of range/],
  [queue({ rate: '1000001/s' }), 'queues.hello.rate', /out of range/],
  [queue({ perKey: { rat: '5/s' } }), 'queues.hello.perKey.rat', /Did you mean `rate`/],
  [queue({ perKey: { concurrency: 0 } }), 'queues.hello.perKey.concurrency', /out of range/],
  [queue({ order: 'key', perKey: { concurrency: 2 } }), 'queues.hello.perKey.concurrency', /anyway.*order: none/],
  [queue({ concurrency: 5, perKey: { concurrency: 6 } }), 'queues.hello.perKey.concurrency', /5 attempts at once/],
  [queue({ rate: '1/s', perKey: { rate: '61/m' } }), 'queues.hello.perKey.rate', /begins 1\/s in all/],
  [queue({ fairness: 'tenant' }), 'queues.hello.fairness', /"tenant" is nothing by which.*header\.X-Tenant/],
  [queue({ fairness: 'path.tenant' }), 'queues.hello.fairness', /is nothing by which/],
  [queue({ fairness: 'header.Cookie' }), 'queues.hello.fairness', /holds a secret/],
  [queue({ fairness: 'header.Content-Type' }), 'queues.hello.fairness', /meaning of its own/],
  [queue({ fairness: 'header.fb-lane' }), 'queues.hello.fairness', /meaning of its own/],
  [queue({ fairness: 'body.tenant.id' }), 'queues.hello.fairness', /body\.\/tenant\/id/],
  [queue({ fairness: { weights: { a: 2 } } }), 'queues.hello.fairness.by', /whose tasks take turns.*by: owner/],
  [queue({ fairness: { by: 'owner', weights: { a: 0 } } }), 'queues.hello.fairness.weights.a', /out of range/],
  [queue({ fairness: { by: 'owner', weights: { a: 1.5 } } }), 'queues.hello.fairness.weights.a', /whole number/],
  [queue({ fairness: { by: 'owner', weight: {} } }), 'queues.hello.fairness.weight', /Did you mean `weights`/],
  [queue({ fairness: ['owner'] }), 'queues.hello.fairness', /nothing by which/],
  [queue({ breaker: 'on' }), 'queues.hello.breaker', /"on" is no breaker.*Write off/],
  [queue({ breaker: { failureShare: 0 } }), 'queues.hello.breaker.failureShare', /out of range.*up to 1/],
  [queue({ breaker: { failureShare: '50%' } }), 'queues.hello.breaker.failureShare', /not a number/],
  [queue({ breaker: { attemps: 3 } }), 'queues.hello.breaker.attemps', /Did you mean `attempts`/],
  [queue({ breaker: { probes: 0 } }), 'queues.hello.breaker.probes', /out of range/],
  [queue({ onExhausted: 'keep' }), 'queues.hello.onExhausted', /dead, park/],
  [queue({ idempotency: { window: '25h' } }), 'queues.hello.idempotency.window', /result that is kept 1d.*retention/],
  [queue({ idempotency: { required: 'yes' } }), 'queues.hello.idempotency.required', /neither true nor false/],
  [queue({ schedule: [] }), 'queues.hello.schedule', /keys and values/],
  [queue({ schedule: { 'Two Words': { cron: '0 0 * * *' } } }), 'queues.hello.schedule.Two Words', /not a name/],
  [schedule({}), 'queues.hello.schedule.nightly.cron', /Nothing says when.*Add `cron`/],
  [schedule({ cron: '0 3 * *' }), 'queues.hello.schedule.nightly.cron', /not a cron pattern.*five fields/],
  [schedule({ cron: '0 25 * * *' }), 'queues.hello.schedule.nightly.cron', /not a cron pattern.*hour/],
  [schedule({ cron: '0 0 0 1 1 * 2030' }), 'queues.hello.schedule.nightly.cron', /not a cron pattern/],
  [schedule({ cron: '0 0 30 2 *' }), 'queues.hello.schedule.nightly.cron', /never comes/],
  [schedule({ cron: '@daily' }), 'queues.hello.schedule.nightly.cron', /nickname.*0 3/],
  [schedule({ cron: 5 }), 'queues.hello.schedule.nightly.cron', /not text/],
  [
    schedule({ cron: '0 3 * * *', timeZone: 'Europe/Berln' }),
    'queues.hello.schedule.nightly.timeZone',
    /no time zone "Europe\/Berln".*"Europe\/Berlin"/,
  ],
  [schedule({ cron: '0 3 * * *', timeZone: '+02:00' }), 'queues.hello.schedule.nightly.timeZone', /IANA name/],
  [schedule({ cron: '0 3 * * *', missed: 'most' }), 'queues.hello.schedule.nightly.missed', /skip, once, all/],
  [schedule({ cron: '0 3 * * *', contentType: 'json' }), 'queues.hello.schedule.nightly.contentType', /media type/],
  [schedule({ cron: '0 3 * * *', key: '' }), 'queues.hello.schedule.nightly.key', /cannot be used/],
  [
    queue({ bodyMax: '10B', schedule: { nightly: { cron: '0 3 * * *', body: 'eleven byte' } } }),
    'queues.hello.schedule.nightly.body',
    /11 bytes.*at most 10.*bodyMax/,
  ],
  [
    queue({ schema: { required: ['to'] }, schedule: { nightly: { cron: '0 3 * * *', body: { from: 1 } } } }),
    'queues.hello.schedule.nightly.body',
    /does not meet the schema.*'to'/,
  ],
  [
    queue({ schema: { type: 'object' }, schedule: { nightly: { cron: '0 3 * * *' } } }),
    'queues.hello.schedule.nightly.body',
    /not JSON/,
  ],
  [
    { broker: 'kafka://a', ...queue({ onExhausted: 'park' }) },
    'queues.hello.onExhausted',
    /Nothing can be parked here.*embedded store is of one process.*store: postgres:/,
  ],
  [
    { broker: 'kafka://a', ...schedule({ cron: '0 3 * * *' }) },
    'queues.hello.schedule',
    /"nightly" fired last.*embedded store is of one process.*store: postgres:/,
  ],
  [{ auth: { keys: [{ principal: 'schedule', sha256: 'a'.repeat(64) }] } }, 'auth.keys.0.principal', /Forebay's own/],
  [
    { auth: { keys: [{ principal: 'x', sha256: 'a'.repeat(64), operator: 1 }] } },
    'auth.keys.0.operator',
    /neither true nor false/,
  ],
  [queue({ bodyMax: '2MiB' }), 'queues.hello.bodyMax', /largest body of any queue/],
  [queue({ schema: 'missing.json' }), 'queues.hello.schema', /missing\.json is not there/],
  [queue({ schema: 'broken.json' }), 'queues.hello.schema', /is not JSON/],
  [queue({ schema: { type: 'objekt' } }), 'queues.hello.schema', /JSON Schema/],
  [queue({ schema: 5 }), 'queues.hello.schema', /not a JSON Schema/],
  [queue({ topic: 'a/b' }), 'queues.hello.topic', /cannot be used/],
  [queue({ topic: 'forebay.results' }), 'queues.hello.topic', /Forebay itself/],
  [queue({ resultTopic: 'a b' }), 'queues.hello.resultTopic', /cannot be used/],
  [queue({ resultTopic: '..' }), 'queues.hello.resultTopic', /cannot be used/],
  [queue({ resultTopic: 'forebay.control' }), 'queues.hello.resultTopic', /Forebay itself/],
  [queue({ resultTopic: 'forebay.tasks.hello' }), 'queues.hello.resultTopic', /the queue "hello" already/],
  [
    { queues: { a: { resultTopic: 't.dead' }, b: { topic: 't' } } },
    'queues.a.resultTopic',
    /dead letters of the queue "b"/,
  ],
  [{ queues: { a: { topic: 't' }, b: { topic: 't' } } }, 'queues.b.topic', /the queue "a" already/],
  [{ queues: { a: null, 'a.dead': null } }, 'queues.a.dead.topic', /dead letters of the queue "a"/],
  [
    { queues: { a: { route: 'POST /x/{one}' }, b: { route: 'POST /x/{two}' } } },
    'queues.b.route',
    /queue "a" catches the same/,
  ],
]

for (const [given, path, says] of CASES) {
  test(`refuses ${JSON.stringify(given).slice(0, 90)}`, () => {
    const faults = faultsOf(given)
    const found = faults.filter((fault) => fault.startsWith(`${path} | `) && says.test(fault))
    assert.equal(found.length, 1, `wanted ${says} at ${path}, got:\n${faults.join('\n')}`)
    assert.equal(faults.length, 1, `only one thing is wrong, but:\n${faults.join('\n')}`)
  })
}

test('every fault comes at once, in the order of the file format', () => {
  const faults = faultsOf({
    broker: 'zeromq',
    http: { listen: 'nowhere', bodyMaxx: 1 },
    queues: { hello: { timeout: 'soon', target: 'ftp://x', retry: { attempts: 0 } } },
  })
  assert.deepEqual(
    faults.map((fault) => fault.split(' | ')[0]),
    [
      'broker',
      'http.bodyMaxx',
      'http.listen',
      'queues.hello.target',
      'queues.hello.timeout',
      'queues.hello.retry.attempts',
    ],
  )
})

test('a password is never repeated in a fault', () => {
  const text = JSON.stringify(
    resolveOptions(
      {
        broker: 'kafka://me:hunter2@host',
        auth: { keys: [{ principal: 'x', sha256: 'hunter2' }] },
        queues: { hello: { target: 'http://u:hunter2@host/' } },
      },
      { hostname: 'h', folderOf: () => folder },
    ),
  )
  assert.ok(!text.includes('hunter2'))
})

test('a schema in a file is read from where the configuration stands', () => {
  const resolution = resolveOptions(queue({ schema: 'schema.json' }), { hostname: 'h', folderOf: () => folder })
  assert.ok(resolution.ok)
  assert.deepEqual(resolution.options.queues.get('hello')!.schema, { type: 'object', required: ['to'] })
})

test('an address of a store that is wrong is not repeated where it may hold a password', () => {
  for (const store of [
    'postgres://me:secret@host',
    'redis://:secret@host/x',
    'mysql://me:secret@host/db',
    'me:secret@host',
  ]) {
    const resolution = resolveOptions({ store }, { hostname: 'host-1', folderOf: () => folder })
    assert.ok(!resolution.ok && resolution.faults.length === 1)
    assert.ok(!JSON.stringify(resolution).includes('secret'), store)
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requireOptions, resolveOptions } from '../src/resolve-options.ts'

const context = { hostname: 'host-1', folderOf: () => '/srv' }

test('an empty file, an empty object and nothing at all mean the documented defaults', () => {
  for (const given of [undefined, null, {}, { http: null, queues: null }]) {
    assert.deepEqual(requireOptions(given as never, context), {
      instance: 'host-1:8080',
      roles: new Set(['gateway', 'dispatcher', 'recorder', 'collector', 'logs']),
      broker: { kind: 'embedded' },
      store: { kind: 'embedded' },
      dataDir: '/srv/.forebay',
      http: {
        host: '127.0.0.1',
        port: 8080,
        bodyBytesMax: 1_048_576,
        waitMaxMs: 60_000,
        waitersMax: 10_000,
        watchersMax: 20_000,
        waitersPerPrincipalMax: 5_000,
        watchersPerPrincipalMax: 10_000,
        webSocketsMax: 10_000,
        acceptingBytesMax: 67_108_864,
        docsOpen: false,
      },
      grpc: { host: '127.0.0.1', port: 8081, sessionsMax: 1_000, leaseMs: 15_000 },
      auth: { keys: [] },
      webhooks: {
        secrets: [],
        principals: new Map(),
        ports: new Set([443]),
        allow: [],
        ca: null,
        dns: [],
        timeoutMs: 10_000,
        waitsMs: [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000],
        concurrency: 64,
        perHost: 4,
      },
      blobs: {
        aboveBytes: 524_288,
        resultBytesMax: 16_777_216,
        place: { kind: 'folder', dir: '/srv/.forebay/blobs' },
      },
      queues: new Map(),
      events: new Map(),
      edge: {
        name: 'host-1:8080',
        files: [],
        syslog: { udp: null, tcp: null, unix: null, format: 'json' },
        http: { listen: null, unix: null },
        produce: [],
        redact: { parameters: null, client: 'keep', members: null },
        spool: { bytesMax: 1_073_741_824, whenFull: 'refuse' },
        topic: 'forebay.edge.access',
        logsTopic: 'forebay.edge.logs',
        logs: { store: 'auto', directory: null, retentionMs: 2_592_000_000, bytesMax: 10_737_418_240 },
        retentionMs: 604_800_000,
      },
      partitions: 12,
      retentionMs: 86_400_000,
      stopGraceMs: 10_000,
    })
  }
})

test('a queue of which only the name is given gets the documented defaults', () => {
  const { queues } = requireOptions({ queues: { thumbnails: null } }, context)
  assert.deepEqual(queues.get('thumbnails'), {
    name: 'thumbnails',
    topic: 'forebay.tasks.thumbnails',
    route: null,
    key: null,
    order: 'none',
    target: { kind: 'workers' },
    concurrency: 1_000,
    timeoutMs: 30_000,
    deadlineMs: 86_400_000,
    retry: {
      attemptsMax: 5,
      withinMs: 600_000,
      backoffMs: 200,
      backoffMaxMs: 30_000,
      jitter: 'full' as const,
      on: null,
      budget: 0.1,
    },
    rate: null,
    perKey: { concurrency: null, rate: null },
    fairness: null,
    breaker: { failureShare: 0.5, attemptsMin: 20, windowMs: 10_000, openMs: 5_000, probes: 3 },
    onExhausted: 'dead',
    resultTopic: null,
    onClientGone: 'continue',
    schedule: [],
    idempotency: { required: false, windowMs: 86_400_000 },
    schema: null,
    bodyBytesMax: 1_048_576,
    partitions: 12,
  })
})

test('the queues of the design page resolve to what they say', () => {
  const { queues } = requireOptions(
    {
      queues: {
        orders: {
          route: 'POST /orders/{customer}',
          key: 'path.customer',
          order: 'key',
          target: 'grpc://127.0.0.1:50051/shop.v1.Orders/Place',
        },
        legacy: { target: 'http://127.0.0.1:9000/jobs', key: 'header.X-Customer' },
        nested: { key: 'body./customer/id', target: 'grpcs://[::1]:443/Echo/Say' },
        plain: { order: 'key' },
      },
    },
    context,
  )
  assert.deepEqual(queues.get('orders')!.route, {
    method: 'POST',
    path: '/orders/{customer}',
    parameters: ['customer'],
  })
  assert.deepEqual(queues.get('orders')!.key, { from: 'path', parameter: 'customer' })
  assert.deepEqual(queues.get('orders')!.target, {
    kind: 'grpc',
    address: '127.0.0.1:50051',
    service: 'shop.v1.Orders',
    method: 'Place',
    tls: false,
    descriptors: null,
  })
  assert.deepEqual(queues.get('legacy')!.target, { kind: 'http', url: 'http://127.0.0.1:9000/jobs' })
  assert.deepEqual(queues.get('legacy')!.key, { from: 'header', header: 'x-customer' })
  assert.deepEqual(queues.get('nested')!.key, { from: 'body', pointer: '/customer/id' })
  const nestedTarget = queues.get('nested')!.target
  assert.ok(nestedTarget.kind === 'grpc' && nestedTarget.tls)
  assert.equal(queues.get('plain')!.order, 'key')
})

test('the policies of a queue resolve to what they say', () => {
  const { queues } = requireOptions(
    {
      queues: {
        mail: {
          rate: '100/s',
          perKey: { concurrency: 2, rate: '30/m' },
          fairness: { by: 'header.X-Tenant', weights: { acme: 3 } },
          retry: { jitter: 'none', on: ['WORKER_LOST', 'ATTEMPT_TIMED_OUT'], budget: 'off' },
          breaker: { failureShare: 0.8, attempts: 5, window: '1m', open: '1s', probes: 1 },
          onExhausted: 'park',
          schedule: {
            digest: {
              cron: '30 2 * * *',
              timeZone: 'Europe/Berlin',
              body: { kind: 'digest' },
              key: 'all',
              missed: 'all',
            },
            ping: { cron: '*/10 * * * * *', body: 'ping' },
            empty: { cron: '0 0 1 * *' },
            typed: { cron: '0 0 1 * *', body: '<a/>', contentType: 'application/xml' },
          },
          idempotency: { required: true, window: '1h' },
        },
        short: { fairness: 'owner', breaker: 'off', retry: { budget: 0 } },
        pointer: { fairness: 'body./tenant', breaker: false },
      },
    },
    context,
  )
  const mail = queues.get('mail')!
  assert.deepEqual(mail.rate, { count: 100, perMs: 1_000 })
  assert.deepEqual(mail.perKey, { concurrency: 2, rate: { count: 30, perMs: 60_000 } })
  assert.deepEqual(mail.fairness, { by: { from: 'header', header: 'x-tenant' }, weights: new Map([['acme', 3]]) })
  assert.equal(mail.retry.jitter, 'none')
  assert.deepEqual(mail.retry.on, new Set(['WORKER_LOST', 'ATTEMPT_TIMED_OUT']))
  assert.equal(mail.retry.budget, null)
  assert.deepEqual(mail.breaker, { failureShare: 0.8, attemptsMin: 5, windowMs: 60_000, openMs: 1_000, probes: 1 })
  assert.equal(mail.onExhausted, 'park')
  assert.deepEqual(mail.idempotency, { required: true, windowMs: 3_600_000 })
  assert.deepEqual(
    mail.schedule.map((one) => ({ ...one, body: Buffer.from(one.body).toString() })),
    [
      {
        name: 'digest',
        cron: '30 2 * * *',
        timeZone: 'Europe/Berlin',
        body: '{"kind":"digest"}',
        contentType: 'application/json',
        key: 'all',
        missed: 'all',
      },
      {
        name: 'ping',
        cron: '*/10 * * * * *',
        timeZone: 'UTC',
        body: 'ping',
        contentType: 'text/plain; charset=utf-8',
        key: null,
        missed: 'once',
      },
      {
        name: 'empty',
        cron: '0 0 1 * *',
        timeZone: 'UTC',
        body: '',
        contentType: 'application/octet-stream',
        key: null,
        missed: 'once',
      },
      {
        name: 'typed',
        cron: '0 0 1 * *',
        timeZone: 'UTC',
        body: '<a/>',
        contentType: 'application/xml',
        key: null,
        missed: 'once',
      },
    ],
  )
  const short = queues.get('short')!
  assert.deepEqual(short.fairness, { by: { from: 'owner' }, weights: new Map() })
  assert.equal(short.breaker, null)
  assert.equal(short.retry.budget, 0)
  assert.deepEqual(queues.get('pointer')!.fairness!.by, { from: 'body', pointer: '/tenant' })
  assert.equal(queues.get('pointer')!.breaker, null)
})

test('an access key is an operator only where it says so', () => {
  const keys = [
    { principal: 'ops', sha256: 'a'.repeat(64), operator: true },
    { principal: 'shop', sha256: 'b'.repeat(64) },
  ]
  const { auth } = requireOptions({ auth: { keys } }, context)
  assert.deepEqual(
    auth.keys.map((key) => key.operator),
    [true, false],
  )
})

test('an idempotency key stands for its task as long as its result is kept, unless told otherwise', () => {
  const { queues } = requireOptions({ retention: '2h', queues: { hello: null } }, context)
  assert.equal(queues.get('hello')!.idempotency.windowMs, 7_200_000)
})

test('a retention below the usual deadline shortens that too', () => {
  const { queues } = requireOptions({ retention: '1h', queues: { hello: null } }, context)
  assert.equal(queues.get('hello')!.deadlineMs, 3_600_000)
})

test('a gateway records too, and a dispatcher alone does not', () => {
  assert.deepEqual(requireOptions({ roles: ['gateway'] }, context).roles, new Set(['gateway', 'recorder']))
  assert.deepEqual(requireOptions({ roles: ['dispatcher'] }, context).roles, new Set(['dispatcher']))
})

test('Kafka addresses get their usual port, and what is under kafka is passed on', () => {
  const { broker } = requireOptions(
    {
      broker: 'kafka://one,two:9093',
      kafka: {
        tls: true,
        sasl: { mechanism: 'SCRAM-SHA-256', username: 'me', password: 'secret' },
        replicationFactor: 2,
        fsync: true,
        compression: 'zstd',
      },
    },
    context,
  )
  assert.deepEqual(broker, {
    kind: 'kafka',
    bootstrap: ['one:9092', 'two:9093'],
    tls: {},
    sasl: { mechanism: 'SCRAM-SHA-256', username: 'me', password: 'secret' },
    replicationFactor: 2,
    fsync: true,
    compression: 'zstd',
  })
})

test('programs that pass something wrong get every fault in one CONFIG_INVALID', () => {
  assert.throws(
    () => requireOptions({ partitions: 0, queues: { hello: { timeout: 'soon' } } }, context),
    (error: { code?: string; message?: string }) =>
      error.code === 'CONFIG_INVALID' &&
      /^partitions: /m.test(error.message ?? '') &&
      /^queues\.hello\.timeout: "soon"/m.test(error.message ?? ''),
  )
})

test('names that mean something to JavaScript objects are plain unknown keys', () => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const resolution = resolveOptions(JSON.parse(`{"${name}": {"http": 1}}`), context)
    assert.equal(resolution.ok, false, name)
  }
})

test('the address of a store says which one, and PostgreSQL gets its connections', () => {
  const storeOf = (given: object) => requireOptions(given, context).store
  assert.deepEqual(storeOf({ store: 'postgres://me:pw@db:5433/forebay?sslmode=verify-full' }), {
    kind: 'postgres',
    url: 'postgres://me:pw@db:5433/forebay?sslmode=verify-full',
    connectionsMax: 10,
  })
  const given = { store: 'postgresql://db/forebay', postgres: { connections: 3 } }
  assert.deepEqual(storeOf(given), { kind: 'postgres', url: 'postgresql://db/forebay', connectionsMax: 3 })
  for (const url of ['redis://:pw@cache:6380/2', 'rediss://cache']) {
    assert.deepEqual(storeOf({ store: url }), { kind: 'redis', url })
  }
})

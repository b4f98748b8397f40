import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { resolveOptions } from '../src/resolve-options.ts'

const folder = mkdtempSync(join(tmpdir(), 'forebay-events-options-'))
after(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'account.json'), '{"type": "object"}')
writeFileSync(join(folder, 'broken.json'), '{"type": "strnig"}')

function resolve(given: unknown) {
  return resolveOptions(given, { hostname: 'host-1', folderOf: () => folder })
}

test('an event needs no more than its name: a topic of its own, the partitions of all topics, seven days', () => {
  const resolution = resolve({
    partitions: 5,
    events: {
      clicked: null,
      account_created: { topic: 'accounts', partitions: 3, retention: '30d', schemas: { 1: 'account.json', 2: {} } },
    },
  })
  assert.ok(resolution.ok)
  assert.deepEqual(
    [...resolution.options.events.values()],
    [
      {
        name: 'clicked',
        topic: 'forebay.events.clicked',
        partitions: 5,
        retentionMs: 7 * 86_400_000,
        schemas: new Map(),
      },
      {
        name: 'account_created',
        topic: 'accounts',
        partitions: 3,
        retentionMs: 30 * 86_400_000,
        schemas: new Map([
          [1, { type: 'object' }],
          [2, {}],
        ]),
      },
    ],
  )
})

const orders = { orders: { topic: 'orders', resultTopic: 'orders.results' } }
const CASES: readonly (readonly [given: object, path: string, says: RegExp])[] = [
  [{ events: { '1st': {} } }, 'events.1st', /not a name.*begin with a letter/],
  [{ events: { a: { topics: 'x' } } }, 'events.a.topics', /Did you mean `topic`/],
  [{ events: { a: { topic: '..' } } }, 'events.a.topic', /letters, digits/],
  [{ events: { a: { partitions: 0 } } }, 'events.a.partitions', /out of range/],
  [{ events: { a: { retention: '0s' } } }, 'events.a.retention', /out of range/],
  [{ events: { a: { schemas: { one: 'account.json' } } } }, 'events.a.schemas.one', /whole number from 1/],
  [{ events: { a: { schemas: { 1: 'absent.json' } } } }, 'events.a.schemas.1', /is not there/],
  [{ events: { a: { schemas: { 1: null } } } }, 'events.a.schemas.1', /Name a file/],
  [
    { events: { a: { schemas: { 1: 'broken.json' } } } },
    'events.a.schemas.1',
    /events\.a\.schemas\.1 is not a JSON Schema/,
  ],
  [{ events: { a: { schemas: { 1: { $async: true } } } } }, 'events.a.schemas.1', /asynchronous/],
  [
    { queues: orders, events: { a: { topic: 'orders' } } },
    'events.a.topic',
    /by the queue "orders" already.*Name another/,
  ],
  [{ queues: orders, events: { a: { topic: 'orders.dead' } } }, 'events.a.topic', /dead letters of the queue "orders"/],
  [{ queues: orders, events: { a: { topic: 'orders.results' } } }, 'events.a.topic', /results of the queue "orders"/],
  [{ events: { a: { topic: 'forebay.results' } } }, 'events.a.topic', /by Forebay itself/],
  [{ events: { a: { topic: 'forebay.control' } } }, 'events.a.topic', /by Forebay itself/],
  [{ events: { a: { topic: 'forebay.again.mail' } } }, 'events.a.topic', /come again/],
  [{ events: { 'a.mail.dead': {} } }, 'events.a.mail.dead.topic', /name of dead letters/],
  [
    { events: { a: { topic: 'x', partitions: 3 }, b: { topic: 'x', partitions: 4 } } },
    'events.b.partitions',
    /The event "a" has the same topic/,
  ],
]

for (const [given, path, says] of CASES) {
  test(`${JSON.stringify(given)} is refused`, () => {
    const resolution = resolve(given)
    assert.ok(!resolution.ok)
    const faults = resolution.faults.map((fault) => `${fault.path.join('.')} | ${fault.message} | ${fault.fix}`)
    assert.equal(faults.length, 1, faults.join('\n'))
    assert.ok(faults[0]!.startsWith(`${path} | `), String(faults[0]))
    assert.match(faults[0]!, says)
  })
}

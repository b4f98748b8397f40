import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Broker, type Clock, PublishError, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { forebayBroker } from '@forebay/broker/remote'
import {
  ConsumeRequestSchema,
  type ConsumeResponse,
  ConsumeResponseSchema,
  InspectRequestSchema,
  ListenRequestSchema,
  OpenRequestSchema,
  PublishRequestSchema,
} from '@forebay/protocol/log'
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject, status } from '@grpc/grpc-js'
import { pino } from 'pino'
import { requireOptions } from '../src/resolve-options.ts'
import { createServer, type Server } from '../src/server.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import { createMetrics } from '../src/telemetry.ts'

const TOPIC = 'forebay.events.order_paid'
const dir = mkdtempSync(join(tmpdir(), 'forebay-log-service-'))
/** Twenty times as fast as outside, so that leases run out soon. */
const clock = fast(systemClock, 20)
let server: Server
let address: string
let client: Client
let broker: Broker

before(async () => {
  server = createServer({
    options: requireOptions(
      {
        data: dir,
        http: { listen: '127.0.0.1:0' },
        grpc: { listen: '127.0.0.1:0' },
        queues: { echo: { topic: 'echoes', resultTopic: 'echoed' } },
        auth: {
          keys: [
            { principal: 'ann', sha256: hash('sha256', 'a') },
            { principal: 'root', sha256: hash('sha256', 'r'), operator: true },
          ],
        },
      },
      { hostname: 'test', folderOf: () => dir },
    ),
    broker: embeddedBroker({ dir: join(dir, 'log') }),
    store: embeddedStore({ dir: join(dir, 'store'), retentionMs: 60_000 }),
    clock,
    random: systemRandom,
    telemetry: { log: pino({ level: 'silent' }), metrics: createMetrics() },
  })
  const { grpc } = await server.start()
  address = `127.0.0.1:${grpc.port}`
  client = new Client(address, credentials.createInsecure())
  broker = forebayBroker({ server: address, key: 'a' })
  await broker.open({ topics: [{ name: TOPIC, partitions: 1, retentionMs: 'forever' }] })
})

after(async () => {
  await broker.close()
  client.close()
  await server.stop({ graceMs: 0 })
  rmSync(dir, { recursive: true })
})

test('topics of queues and of the server are nobody’s to touch, by any call, and the refusal names the topic', async () => {
  const reserved = ['echoes', 'echoes.dead', 'echoed', 'forebay.results', 'forebay.control', 'forebay.cluster']
  for (const topic of [...reserved, 'forebay.tasks.of_another_server', '__consumer_offsets']) {
    const calls = [
      unary('Open', OpenRequestSchema, { topics: [{ name: topic, partitions: 1 }] }, 'r'),
      unary('Publish', PublishRequestSchema, { records: [{ topic: TOPIC }, { topic }] }, 'r'),
      unary('Inspect', InspectRequestSchema, { topics: [topic] }, 'r'),
      stream('Consume', 'r').says(consume({ start: { topics: [TOPIC, topic], group: 'spies' } })).ended,
      stream('Listen', 'r').says(bytesOf(ListenRequestSchema, { start: { topic } })).ended,
    ]
    for (const { code, error, details } of await Promise.all(calls)) {
      assert.deepEqual([code, error], [status.PERMISSION_DENIED, 'FORBIDDEN'], topic)
      assert.ok(details.includes(topic), details)
    }
  }
  const group = 'forebay.dispatch.echo'
  const joining = await stream('Consume').says(consume({ start: { topics: [TOPIC], group } })).ended
  assert.equal(joining.error, 'FORBIDDEN')
  const [state] = await broker.inspect({ topics: [TOPIC] })
  assert.equal(state!.end, 0, 'a call with a topic that is refused appends nothing')
})

test('the port says the same: opening and reading reject, publishing is refused record by record', async () => {
  await assert.rejects(broker.open({ topics: [{ name: 'echoes', partitions: 1, retentionMs: 1 }] }), {
    code: 'FORBIDDEN',
  })
  await assert.rejects(broker.listen({ topic: 'forebay.results', partition: 0, from: 'earliest' }), {
    code: 'FORBIDDEN',
  })
  await assert.rejects(broker.consume({ topics: ['echoed'], group: 'spies' }), { code: 'FORBIDDEN' })
  await assert.rejects(broker.consume({ topics: ['not-there'], group: 'spies' }), { code: 'BAD_REQUEST' })
  const record = { topic: 'echoes', key: null, value: Buffer.from('x'), headers: [] }
  const refused = await broker.publish([record]).catch((error: unknown) => error)
  assert.ok(refused instanceof PublishError)
  assert.deepEqual([refused.failed[0]!.outcome, refused.code], ['refused', 'NOT_ACCEPTED'])
})

test('without a key of this server, or with a wrong one, nothing is told', async () => {
  for (const key of [null, 'wrong']) {
    const answers = await Promise.all([
      unary('Open', OpenRequestSchema, {}, key),
      unary('Publish', PublishRequestSchema, { records: [{ topic: TOPIC }] }, key),
      unary('Inspect', InspectRequestSchema, { topics: [TOPIC] }, key),
      stream('Consume', key).says(consume({ start: { topics: [TOPIC], group: 'g' } })).ended,
      stream('Listen', key).says(bytesOf(ListenRequestSchema, { start: { topic: TOPIC } })).ended,
    ])
    for (const { error } of answers) assert.equal(error, 'UNAUTHENTICATED')
    const stranger = forebayBroker({ server: address, ...(key === null ? {} : { key }) })
    await assert.rejects(stranger.open({ topics: [] }), { code: 'UNAUTHENTICATED' })
    await stranger.close()
  }
})

test('messages that are none, and fields beyond their limits, are refused by name, and the server stays well', async () => {
  const garbage = Buffer.from([0xff, 0xff, 0xff, 0x01, 0x02])
  const records = Array.from({ length: 10_001 }, () => ({ topic: TOPIC }))
  const bad: readonly (readonly [what: string, answer: Promise<Answer>])[] = [
    ['no message', raw('Publish', garbage)],
    ['no records', unary('Publish', PublishRequestSchema, {})],
    ['10,001 records', unary('Publish', PublishRequestSchema, { records })],
    ['groups of less', unary('Publish', PublishRequestSchema, { records: records.slice(0, 3), groups: [1, 1] })],
    ['an empty group', unary('Publish', PublishRequestSchema, { records: records.slice(0, 1), groups: [1, 0] })],
    ['no topic name', unary('Publish', PublishRequestSchema, { records: [{ topic: '../../etc' }] })],
    ['a long name', unary('Open', OpenRequestSchema, { topics: [{ name: 'x'.repeat(250), partitions: 1 }] })],
    ['257 partitions', unary('Open', OpenRequestSchema, { topics: [{ name: 'wide', partitions: 257 }] })],
    ['no partitions', unary('Open', OpenRequestSchema, { topics: [{ name: 'none' }] })],
    [
      'kept for less than nothing',
      unary('Open', OpenRequestSchema, { topics: [{ name: 'n', partitions: 1, retentionMs: -1n }] }),
    ],
    ['no topics', unary('Inspect', InspectRequestSchema, {})],
    ['1,001 topics', unary('Inspect', InspectRequestSchema, { topics: records.slice(0, 1_001).map(() => TOPIC) })],
    ['no stream', stream('Consume').says(garbage).ended],
    ['no start', stream('Consume').says(consume({ credits: 1 })).ended],
    ['no group', stream('Consume').says(consume({ start: { topics: [TOPIC] } })).ended],
    ['a wide window', stream('Consume').says(started({ windowRecords: 20_001 })).ended],
    ['a large window', stream('Consume').says(started({ windowBytes: 2 ** 31 })).ended],
    ['from an offset', stream('Consume').says(started({ from: { at: { case: 'offset', value: 3n } } })).ended],
    ['before time', stream('Consume').says(started({ from: { at: { case: 'timeMs', value: -1n } } })).ended],
    ['two starts', stream('Consume').says(started({})).says(started({})).ended],
    ['a flood of offsets', stream('Consume').says(started({})).says(settling(0n, 4_000_000_000)).ended],
    ['an offset below 0', stream('Consume').says(started({})).says(settling(-5n, 1)).ended],
    [
      'no partition 7',
      stream('Listen').says(bytesOf(ListenRequestSchema, { start: { topic: TOPIC, partition: 7 } })).ended,
    ],
    ['no start of listening', stream('Listen').says(bytesOf(ListenRequestSchema, { credits: 5 })).ended],
  ]
  for (const [what, answer] of bad) {
    const { code, error } = await answer
    assert.deepEqual([code, error], [status.INVALID_ARGUMENT, 'BAD_REQUEST'], what)
  }
  const harmless = stream('Consume')
    .says(started({}))
    .says(consume({ settled: [{ assignment: 99, ranges: [] }], released: [7] }))
  harmless.end()
  assert.equal((await harmless.ended).code, status.OK, 'what is not known to the stream is passed over')
  const [position] = await broker.publish([{ topic: TOPIC, key: null, value: Buffer.from('well'), headers: [] }])
  assert.equal(position!.offset, 0)
})

test('no more is sent than there are credits for, and what is given back brings more', async () => {
  const topic = 'forebay.events.large'
  await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 'forever' }] })
  const value = Buffer.alloc(100_000)
  await broker.publish(Array.from({ length: 40 }, () => ({ topic, key: null, value, headers: [] })))
  const reading = stream('Consume').says(consume({ start: { topics: [topic], group: 'slow' }, credits: 1 }))
  const costs = () => reading.heard.reduce((sum, { batch }) => sum + (batch?.cost ?? 0), 0)
  const count = () => reading.heard.reduce((sum, { batch }) => sum + (batch?.records.length ?? 0), 0)
  await reading.until(() => count() > 0)
  const first = count()
  // Heartbeats come while nothing else does.
  const frames = reading.heard.length
  await reading.until(() => reading.heard.length > frames + 2)
  assert.equal(count(), first, 'the credits are used up')
  assert.ok(first < 40)
  reading.says(consume({ credits: costs() }))
  await reading.until(() => count() > first)
  reading.cancel()
})

test('a member that falls silent loses its seat, and what it had comes to the next', async () => {
  const topic = 'forebay.events.silence'
  await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 'forever' }] })
  await broker.publish([{ topic, key: null, value: Buffer.from('one'), headers: [] }])
  const silent = stream('Consume').says(consume({ start: { topics: [topic], group: 'two' }, credits: 1_000 }))
  await silent.until(() => silent.heard.some(({ batch }) => batch !== undefined))
  const next = await broker.consume({ topics: [topic], group: 'two' })
  const { error } = await silent.ended
  assert.equal(error, 'REQUEST_TIMEOUT')
  for await (const { deliveries } of next) {
    assert.equal(deliveries[0]!.record.offset, 0)
    break
  }
  await next.close()
})

function started(more: MessageInitShape<typeof ConsumeRequestSchema>['start'] & object): Buffer {
  return consume({ start: { topics: [TOPIC], group: 'hostile', ...more } as never })
}

function settling(first: bigint, count: number): Buffer {
  return consume({ settled: [{ assignment: 1, ranges: [{ first, count }] }] })
}

function consume(message: MessageInitShape<typeof ConsumeRequestSchema>): Buffer {
  return bytesOf(ConsumeRequestSchema, message)
}

function bytesOf<Schema extends DescMessage>(schema: Schema, message: MessageInitShape<Schema>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, message)))
}

interface Answer {
  readonly code: status
  readonly error: string | undefined
  readonly details: string
}

function answerOf({ code, details, metadata }: StatusObject): Answer {
  return { code, details, error: metadata.get('forebay-error')[0]?.toString() }
}

function unary<Schema extends DescMessage>(
  method: string,
  schema: Schema,
  message: MessageInitShape<Schema>,
  key: string | null = 'a',
): Promise<Answer> {
  return raw(method, bytesOf(schema, message), key)
}

function raw(method: string, bytes: Buffer, key: string | null = 'a'): Promise<Answer> {
  const path = `/forebay.log.v1.LogService/${method}`
  return endOf(client.makeUnaryRequest(path, same, same, bytes, metadataOf(key), () => {}))
}

/** `once` would take an 'error', which says the same, for its own failure. */
function endOf(call: { on(event: 'status', hear: (end: StatusObject) => void): unknown }): Promise<Answer> {
  return new Promise((resolve) => call.on('status', (end) => resolve(answerOf(end))))
}

function stream(method: 'Consume' | 'Listen', key: string | null = 'a'): RawStream {
  const path = `/forebay.log.v1.LogService/${method}`
  return new RawStream(client.makeBidiStreamRequest(path, same, same, metadataOf(key)))
}

class RawStream {
  readonly heard: ConsumeResponse[] = []
  readonly ended: Promise<Answer>
  readonly #call: ClientDuplexStream<Buffer, Buffer>

  constructor(call: ClientDuplexStream<Buffer, Buffer>) {
    this.#call = call
    call.on('data', (bytes: Buffer) => this.heard.push(fromBinary(ConsumeResponseSchema, bytes)))
    call.on('error', () => {})
    this.ended = endOf(call)
  }

  says(bytes: Buffer): this {
    this.#call.write(bytes)
    return this
  }

  end(): void {
    this.#call.end()
  }

  cancel(): void {
    this.#call.cancel()
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await once(this.#call, 'data')
  }
}

function metadataOf(key: string | null): Metadata {
  const metadata = new Metadata()
  if (key !== null) metadata.set('authorization', `Bearer ${key}`)
  return metadata
}

function same(bytes: Buffer): Buffer {
  return bytes
}

function fast(real: Clock, factor: number): Clock {
  return {
    wallMs: () => real.wallMs(),
    monotonicMs: () => real.monotonicMs() * factor,
    timer: (delayMs, callback) => real.timer(delayMs / factor, callback),
    sleep: (delayMs, signal) => real.sleep(delayMs / factor, signal),
  }
}

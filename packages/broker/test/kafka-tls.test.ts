import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeCertificate } from '../../../scripts/rig/certificate.ts'
import { type Kafka, type SecureListener, startKafka } from '../../../scripts/rig/kafka.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'
import type { KafkaBrokerOptions } from '../src/kafka/options.ts'

/** Far below the time for which a broker that does not answer is waited for. */
const AT_ONCE_MS = 10_000

describe('Kafka over TLS with SCRAM', () => {
  let kafka: Kafka
  let secure: SecureListener
  let dir: string

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'forebay-kafka-tls-'))
    kafka = await startKafka({ secure: true })
    secure = kafka.secure!
  })
  after(async () => {
    await kafka[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  })

  test('what is published is consumed, by a connection that knows whom it talks to', async () => {
    const broker = kafkaBroker(options())
    await broker.open({ topics: [{ name: 'secret', partitions: 2, retentionMs: 3_600_000 }] })
    const value = Buffer.from('by TLS')
    await broker.publish([{ topic: 'secret', key: null, value, headers: [] }])
    const subscription = await broker.consume({ topics: ['secret'], group: 'readers' })
    for await (const { deliveries } of subscription) {
      assert.deepEqual(
        deliveries.map(({ record }) => String(record.value)),
        ['by TLS'],
      )
      for (const delivery of deliveries) delivery.settle()
      break
    }
    await subscription.close()
    await broker.close()
  })

  test('a wrong password and another mechanism are refused at once, and nothing of the password is told', async () => {
    const sasl = { mechanism: 'SCRAM-SHA-512', username: secure.username, password: 'wrong-password' } as const
    await refused({ ...options(), sasl }, /SASL authentication failed/)
    await refused({ ...options(), sasl: { ...sasl, mechanism: 'PLAIN' } }, /SASL/)
  })

  test('a certificate that nobody here trusts is refused at once', async () => {
    const other = { certificate: join(dir, 'other.crt'), key: join(dir, 'other.key') }
    await makeCertificate(other, ['127.0.0.1'])
    await refused({ ...options(), tls: { ca: readFileSync(other.certificate) } }, /certificate/i)
  })

  function options(): KafkaBrokerOptions {
    const { bootstrap, ca, username, password } = secure
    const sasl = { mechanism: 'SCRAM-SHA-512', username, password } as const
    return { bootstrap: [bootstrap], tls: { ca: readFileSync(ca) }, sasl }
  }

  async function refused(given: KafkaBrokerOptions, why: RegExp): Promise<void> {
    const broker = kafkaBroker(given)
    const topics = [{ name: 'secret', partitions: 2, retentionMs: 3_600_000 }]
    const opened = broker.open({ topics, signal: AbortSignal.timeout(AT_ONCE_MS) })
    const error = await opened.then(
      () => assert.fail('it was let in'),
      (thrown: unknown) => thrown as Error,
    )
    assert.match(error.message, why)
    assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /wrong-password/)
    await broker.close()
  }
})

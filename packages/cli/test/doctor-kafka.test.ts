import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeCertificate } from '../../../scripts/rig/certificate.ts'
import { startKafka, useKafka } from '../../../scripts/rig/kafka.ts'
import { freePort } from '../../../scripts/rig/process.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

interface Told {
  readonly code: number
  readonly findings: readonly { readonly check: string; readonly state: string; readonly saw: string }[]
}

async function doctor(folder: string, config: object, ...args: readonly string[]): Promise<Told> {
  writeFileSync(join(folder, 'forebay.yaml'), JSON.stringify(config))
  const { code, stdout, stderr } = await forebay(['doctor', 'edge', '--json', ...args], { cwd: folder })
  assert.match(stdout, /^\{/, stderr)
  return { code, ...(JSON.parse(stdout) as Omit<Told, 'code'>) }
}

function sawOf({ findings }: Told, check: string, state: string): string {
  const one = findings.find((finding) => finding.check === check && finding.state === state)
  return one?.saw ?? assert.fail(`no ${check} ${state} in ${JSON.stringify(findings, null, 1)}`)
}

test('advertised listeners, TLS and credentials: each step of the way is told apart', async () => {
  using folder = temporaryFolder()
  const [port, controller, securePort] = [await freePort(), await freePort(), await freePort()]
  const secureListener = `SECURE://127.0.0.1:${securePort}`
  await using kafka = await startKafka({
    port,
    secure: true,
    extra: {
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller},${secureListener}`,
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://nowhere.invalid:${port},${secureListener}`,
    },
  })
  const edge = { http: { unix: 'edge.sock' } }
  const told = await doctor(folder.path, { broker: `kafka://127.0.0.1:${port}`, edge })
  assert.equal(told.code, 1)
  sawOf(told, 'kafka address', 'ok')
  sawOf(told, 'kafka answer', 'ok')
  const there = `node 1 is at nowhere\\.invalid:${port}, which does not resolve here`
  const advertised = sawOf(told, 'kafka advertised', 'fail')
  assert.match(advertised, new RegExp(`^127\\.0\\.0\\.1:${port} answers, but tells clients that ${there}`))
  assert.equal(sawOf(told, 'kafka topic', 'warn'), 'is not there')
  sawOf(told, 'rows', 'skip')

  const { ca, username, password } = kafka.secure!
  const sasl = { mechanism: 'SCRAM-SHA-512', username, password }
  const config = (more: object, at = securePort) => ({ broker: `kafka://127.0.0.1:${at}`, kafka: more, edge })
  const well = await doctor(folder.path, config({ tls: { ca }, sasl }))
  sawOf(well, 'kafka address', 'ok')
  assert.match(sawOf(well, 'kafka answer', 'ok'), /answers as rig by SCRAM-SHA-512/)
  sawOf(well, 'kafka advertised', 'ok')
  assert.ok(well.findings.some(({ check }) => check === 'kafka certificate'))

  const wrong = await doctor(folder.path, config({ tls: { ca }, sasl: { ...sasl, password: 'guess' } }))
  assert.match(sawOf(wrong, 'kafka answer', 'fail'), /refuses us as rig/)
  assert.doesNotMatch(JSON.stringify(wrong), /guess/)

  const other = { certificate: join(folder.path, 'other.crt'), key: join(folder.path, 'other.key') }
  await makeCertificate(other, ['127.0.0.1'])
  const untrusted = await doctor(folder.path, config({ tls: { ca: other.certificate }, sasl }))
  assert.match(sawOf(untrusted, 'kafka address', 'fail'), /TLS fails \(.*(SELF_SIGNED|self-signed)/)

  const plain = await doctor(folder.path, config({}))
  assert.match(sawOf(plain, 'kafka answer', 'fail'), /takes connections and does not answer without credentials/)
  const confused = await doctor(folder.path, config({ tls: { ca } }, port))
  assert.match(sawOf(confused, 'kafka address', 'fail'), /TLS fails/)
})

test('Kafka that is well: topics there, writable, a probe line comes back; a name that is none and a port that is shut', async () => {
  using folder = temporaryFolder()
  await using kafka = await useKafka()
  const suffix = `${process.pid}-${Date.now()}`
  const [http, udp] = [await freePort(), await freePort()]
  const edge = {
    ...{ name: 'web-1', topic: `edge-${suffix}`, logsTopic: `logs-${suffix}` },
    syslog: { udp: `127.0.0.1:${udp}` },
    http: { listen: `127.0.0.1:${http}` },
  }
  const config = { broker: `kafka://${kafka.bootstrap}`, roles: ['collector'], partitions: 2, edge }
  writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify(config))
  await using _server = await up(folder.path)
  const well = await doctor(folder.path, config)
  assert.match(sawOf(well, 'kafka topic', 'ok'), /^2 partitions, all led; we may write$/)
  assert.match(sawOf(well, 'road udp', 'ok'), /a probe line stands on edge-/)
  sawOf(well, 'road http', 'ok')
  assert.equal(well.code, 0, JSON.stringify(well.findings))
  const shut = await freePort()
  const lost = await doctor(folder.path, { ...config, broker: `kafka://nowhere.invalid:9092,127.0.0.1:${shut}` })
  assert.deepEqual(
    lost.findings.filter(({ check }) => check === 'kafka address').map(({ saw }) => saw.replace(/ \(.*/, '')),
    ['the name does not resolve', 'nobody takes a connection'],
  )
})

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ServerCredentials } from '@grpc/grpc-js'
import { serveShop } from './execute-grpc-fixtures.ts'

const run = promisify(execFile)
const OPENSSL = '/usr/bin/openssl'

describe('gRPC targets over TLS', { skip: existsSync(OPENSSL) ? false : 'openssl is not installed' }, () => {
  let dir: string
  let certificate: string
  let credentials: ServerCredentials

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'forebay-tls-'))
    certificate = join(dir, 'cert.pem')
    const key = join(dir, 'key.pem')
    await run(OPENSSL, [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=orders', '-addext', 'subjectAltName=DNS:orders', '-keyout', key, '-out', certificate],
    ])
    const pair = { private_key: await readFile(key), cert_chain: await readFile(certificate) }
    credentials = ServerCredentials.createSsl(null, [pair])
  })
  after(() => rm(dir, { recursive: true }))

  it('hold the certificate to the configured name, whatever address the name leads to', async () => {
    using shop = await serveShop((_call, answer) => answer(null, { order: 'o-1' }), { credentials })
    const outcome = await callFrom(`orders:${shop.port}`, { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificate })
    assert.equal(outcome.kind, 'succeeded', JSON.stringify(outcome))
    const misnamed = await callFrom(`other:${shop.port}`, { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificate })
    assert.deepEqual([misnamed.kind, misnamed.code, misnamed.then], ['failed', 'TARGET_UNAVAILABLE', 'retry'])
  })

  it('do not talk to a server whose certificate nobody vouches for, and say so', async () => {
    using shop = await serveShop((_call, answer) => answer(null, {}), { credentials })
    const outcome = await callFrom(`orders:${shop.port}`, {})
    assert.deepEqual([outcome.kind, outcome.code], ['failed', 'TARGET_UNAVAILABLE'])
    assert.match(String(outcome.message), /certificate/)
  })
})

async function callFrom(address: string, env: Record<string, string>): Promise<Record<string, unknown>> {
  const script = join(import.meta.dirname, 'fixtures/call-over-tls.ts')
  const { stdout } = await run(process.execPath, [script, address], { env: { ...process.env, ...env } })
  return JSON.parse(stdout)
}

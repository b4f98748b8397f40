import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import pg from 'pg'
import { makeCertificate } from '../../../scripts/rig/certificate.ts'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { apply, succeeded } from '../src/store/contract/contract-place.ts'
import { postgresStore } from '../src/store/postgres/postgres.ts'
import type { Store } from '../src/store/store.ts'

const dir = await mkdtemp(join(tmpdir(), 'forebay-postgres-tls-'))
const ours = { certificate: join(dir, 'server.crt'), key: join(dir, 'server.key') }
const strangers = { certificate: join(dir, 'other.crt'), key: join(dir, 'other.key') }
await makeCertificate(ours, ['127.0.0.1'])
await makeCertificate(strangers, ['127.0.0.1'])
await chmod(ours.key, 0o600)
const server = await startPostgres({
  settings: { ssl: 'on', ssl_cert_file: ours.certificate, ssl_key_file: ours.key, ssl_min_protocol_version: 'TLSv1.3' },
})
after(async () => {
  await server[Symbol.asyncDispose]()
  await rm(dir, { recursive: true })
})

test('verify-full: every connection is encrypted, and to the server that the certificate names', async () => {
  const store = await open(server.url, ours.certificate)
  await apply(store, 0, succeeded('t', 'by TLS'))
  assert.equal((await store.get('t'))?.status.state, 'succeeded')
  const watcher = new pg.Client(server.url)
  await watcher.connect()
  const { rows } = await watcher.query(
    "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where pid <> pg_backend_pid() and backend_type = 'client backend'",
  )
  assert.deepEqual(rows, [{ ssl: true }])
  await watcher.end()
  await store.close()
})

test('a certificate of somebody else is refused, and so is a name that it does not hold', async () => {
  await assert.rejects(open(server.url, strangers.certificate), /certificate/)
  await assert.rejects(open(server.url.replace('127.0.0.1', 'localhost'), ours.certificate), /localhost|altnames/)
})

async function open(url: string, authority: string): Promise<Store> {
  const store = postgresStore({
    url: `${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`,
    retentionMs: 3_600_000,
    openTimeoutMs: 3_000,
  })
  try {
    await store.open()
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}

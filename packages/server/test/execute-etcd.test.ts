import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { GrpcTarget } from '../src/execute/grpc-target.ts'
import type { Outcome } from '../src/task.ts'
import { attemptOf } from './execute-fixtures.ts'
import { ETCD, grpcTarget, writeDescriptorSet } from './execute-grpc-fixtures.ts'

const ETCD_BINARY = '/usr/bin/etcd'

describe('gRPC targets and a real etcd', { skip: existsSync(ETCD_BINARY) ? false : 'etcd is not installed' }, () => {
  let dir: string
  let etcd: ChildProcess
  let address: string
  let descriptors: string

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'forebay-etcd-'))
    descriptors = join(dir, 'etcd.binpb')
    await writeDescriptorSet(descriptors, ETCD)
    const [client, peer] = [await freePort(), await freePort()]
    address = `127.0.0.1:${client}`
    const [clientUrl, peerUrl] = [`http://${address}`, `http://127.0.0.1:${peer}`]
    etcd = spawn(ETCD_BINARY, [
      ...['--data-dir', join(dir, 'data'), '--name', 'one', '--initial-cluster', `one=${peerUrl}`],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl, '--log-level', 'error'],
    ])
  })

  after(async () => {
    etcd.kill('SIGKILL')
    await once(etcd, 'exit')
    await rm(dir, { recursive: true })
  })

  it('puts what a JSON task says, with bytes as base64, and reads it back', async () => {
    await using put = grpcTarget(address, { service: 'etcdserverpb.KV', method: 'Put', descriptors })
    await using range = grpcTarget(address, { service: 'etcdserverpb.KV', method: 'Range', descriptors })
    const key = base64('forebay/schlüssel')
    const value = Buffer.from([0, 128, 255]).toString('base64')
    const written = jsonOf(await whenUp(put, { key, value })) as { header: { revision: string } }
    assert.match(written.header.revision, /^\d+$/)
    const read = jsonOf(await whenUp(range, { key })) as { count: string; kvs: { key: string; value: string }[] }
    assert.equal(read.count, '1')
    assert.deepEqual([read.kvs[0]!.key, read.kvs[0]!.value], [key, value])
  })

  it('ends a task that etcd refuses as final, in etcd’s own words', async () => {
    await using put = grpcTarget(address, { service: 'etcdserverpb.KV', method: 'Put', descriptors })
    const outcome = await whenUp(put, { value: base64('no key') })
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual(
      [outcome.code, outcome.then, outcome.message],
      ['TARGET_REFUSED', 'final', 'INVALID_ARGUMENT: etcdserver: key is not provided'],
    )
  })

  it('says that this etcd offers no reflection', async () => {
    await using put = grpcTarget(address, { service: 'etcdserverpb.KV', method: 'Put' })
    const outcome = await whenUp(put, { key: base64('a') })
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['CONFIG_INVALID', 'dead'])
  })
})

/** Attempts until etcd has come up. */
async function whenUp(target: GrpcTarget, json: object): Promise<Outcome> {
  for (;;) {
    const outcome = await target.run(attemptOf({ payload: Buffer.from(JSON.stringify(json)) }))
    if (outcome.kind !== 'failed' || outcome.then !== 'retry') return outcome
    assert.equal(outcome.code, 'TARGET_UNAVAILABLE', outcome.message)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function jsonOf(outcome: Outcome): unknown {
  assert.ok(outcome.kind === 'succeeded', JSON.stringify(outcome))
  return JSON.parse(Buffer.from(outcome.payload).toString())
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  assert.ok(typeof address === 'object' && address !== null)
  return address.port
}

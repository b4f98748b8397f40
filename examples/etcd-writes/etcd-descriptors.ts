import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client, credentials, status } from '@grpc/grpc-js'
import { unpackDebian } from '../../scripts/rig/debian.ts'

/** Whether a gRPC server tells its own API, so that no descriptor file is needed. */
export async function servesReflection(address: string): Promise<boolean> {
  const client = new Client(address, credentials.createInsecure())
  const pass = (bytes: Buffer) => bytes
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(REFLECTION, pass, pass)
      stream.once('data', () => {
        resolve(true)
        stream.cancel()
      })
      stream.on('error', (error: Error & { code?: number }) => {
        if (error.code === status.UNIMPLEMENTED) resolve(false)
        else reject(error)
      })
      stream.write(LIST_SERVICES)
    })
  } finally {
    client.close()
  }
}

const REFLECTION = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo'
/** ServerReflectionRequest { list_services: "" }: field 7, no bytes. */
const LIST_SERVICES = Buffer.from([0x3a, 0])

/**
 * Compiles etcd's own rpc.proto, as Debian ships it with etcd's source, into a FileDescriptorSet. Only these files are
 * unpacked; nothing is installed. `buf` runs on local files.
 */
export async function buildDescriptors(file: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'forebay-etcd-proto-'))
  try {
    const debian = join(work, 'debian')
    await unpackDebian(['golang-etcd-server-dev', 'golang-github-gogo-protobuf-dev', GATEWAY_PACKAGE], debian)
    const proto = join(work, 'proto')
    for (const [imported, source] of PROTO_FILES) {
      await mkdir(join(proto, dirname(imported)), { recursive: true })
      await copyFile(join(debian, 'usr/share/gocode/src', source), join(proto, imported))
    }
    await promisify(execFile)(BUF, ['build', proto, '--output', file])
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

const BUF = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url))
const GATEWAY_PACKAGE = 'golang-github-grpc-ecosystem-grpc-gateway-dev'

/** rpc.proto and what it imports: the name it is imported by, and where Debian has it. */
const PROTO_FILES = [
  ['etcd/etcdserver/etcdserverpb/rpc.proto', 'go.etcd.io/etcd/etcdserver/etcdserverpb/rpc.proto'],
  ['etcd/mvcc/mvccpb/kv.proto', 'go.etcd.io/etcd/mvcc/mvccpb/kv.proto'],
  ['etcd/auth/authpb/auth.proto', 'go.etcd.io/etcd/auth/authpb/auth.proto'],
  ['gogoproto/gogo.proto', 'github.com/gogo/protobuf/gogoproto/gogo.proto'],
  ...['annotations', 'http'].map((name) => [
    `google/api/${name}.proto`,
    `github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis/google/api/${name}.proto`,
  ]),
] as [string, string][]

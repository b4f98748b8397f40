import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { systemClock, systemRandom } from '@forebay/broker'
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  loadPackageDefinition,
  Server,
  type ServerCredentials,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'
import { ReflectionService } from '@grpc/reflection'
import { GrpcTarget, type GrpcTargetOptions } from '../src/execute/grpc-target.ts'
import { listen } from './execute-fixtures.ts'

/** What a test's shop takes and answers, as grpc-js and proto-loader hand it over; what is not set is missing. */
export interface PlaceRequest {
  customer?: string
  lines?: { article: string; pieces: number }[]
  note?: Buffer
}
export interface PlaceResponse {
  order?: string
  pieces?: number
  note?: Buffer | undefined
  metadata?: Record<string, string>
}
export type Place = handleUnaryCall<PlaceRequest, PlaceResponse>
export type Track = handleServerStreamingCall<PlaceRequest, PlaceResponse>

export interface ShopOptions {
  readonly reflection?: 'v1' | 'v1alpha' | 'none'
  /** The server-streaming method. Default: says nothing. */
  readonly track?: Track
  /** Default: a free one. */
  readonly port?: number
  /** Default: no TLS. */
  readonly credentials?: ServerCredentials
}

export const SHOP = loadSync(join(import.meta.dirname, 'fixtures/shop.proto'))
export const ETCD = loadSync(join(import.meta.dirname, 'fixtures/etcd-kv.proto'))

/** A server as anybody would write it with grpc-js and proto-loader: nothing in it knows of Forebay. */
export async function serveShop(place: Place, options: ShopOptions = {}) {
  const { reflection = 'v1', port: wanted, credentials, track = () => {} } = options
  const server = new Server()
  server.addService(ordersService(), { Place: place, Track: track, Collect: () => {}, Haggle: () => {} })
  if (reflection !== 'none') {
    new ReflectionService(SHOP).addToServer({
      addService: (definition, implementation) => {
        const [method] = Object.values(definition)
        if (method!.path.includes(`.${reflection}.`)) server.addService(definition, implementation)
      },
    })
  }
  const port = await listen(server, wanted, credentials)
  return { port, address: `127.0.0.1:${port}`, [Symbol.dispose]: () => server.forceShutdown() }
}

export function grpcTarget(
  address: string,
  over: Partial<GrpcTargetOptions['target']> = {},
  more: Partial<GrpcTargetOptions> = {},
) {
  const target = new GrpcTarget({
    target: {
      kind: 'grpc',
      address,
      service: 'shop.v1.Orders',
      method: 'Place',
      tls: false,
      descriptors: null,
      ...over,
    },
    resultBytesMax: 1_000_000,
    clock: systemClock,
    random: systemRandom,
    ...more,
  })
  return Object.assign(target, { [Symbol.asyncDispose]: () => target.stop(AbortSignal.abort()) })
}

/** Writes all files of a package definition as a FileDescriptorSet, last file first: order must not matter. */
export async function writeDescriptorSet(path: string, definition: PackageDefinition): Promise<void> {
  const files = new Map<string, Uint8Array>()
  for (const entry of Object.values(definition)) {
    if (!('fileDescriptorProtos' in entry)) continue
    for (const bytes of entry.fileDescriptorProtos as Uint8Array[])
      files.set(fromBinary(FileDescriptorProtoSchema, bytes).name, bytes)
  }
  const file = [...files.values()].map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)).reverse()
  await writeFile(path, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })))
}

function ordersService() {
  const shop = loadPackageDefinition(SHOP).shop as unknown as { v1: { Orders: ServiceClientConstructor } }
  return shop.v1.Orders.service
}

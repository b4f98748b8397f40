import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Clock, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import type { BlobStore } from '../../src/blobs/blob-store.ts'
import { createBlobs } from '../../src/blobs/create-blobs.ts'
import type { ServerOptions } from '../../src/options.ts'
import type { GivenOptions } from '../../src/options-schema.ts'
import { requireOptions } from '../../src/resolve-options.ts'
import { createServer, type Server } from '../../src/server.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import { createMetrics } from '../../src/telemetry.ts'

export const MIB = 1024 * 1024

export interface BlobServer {
  readonly server: Server
  readonly url: string
  readonly grpc: string
  readonly options: ServerOptions
  /** As the server has them, faults included; null where none are configured. */
  readonly blobs: BlobStore | null
  stop(): Promise<void>
}

export interface BlobServerOptions {
  readonly dir: string
  readonly given: GivenOptions
  readonly wrap?: (blobs: BlobStore) => BlobStore
  readonly clock?: Clock
}

/** A whole server on the embedded parts, its records no larger than Kafka's default. */
export async function startBlobServer(t: TestContext, started: BlobServerOptions): Promise<BlobServer> {
  const { dir, given, wrap, clock = systemClock } = started
  const own: GivenOptions = {
    data: dir,
    http: { listen: '127.0.0.1:0', bodyMax: '16MiB' },
    grpc: { listen: '127.0.0.1:0' },
  }
  const options = requireOptions({ ...own, ...given }, { hostname: 'test', folderOf: () => dir })
  const made = createBlobs(options, { clock, random: systemRandom })
  const blobs = made === null ? null : (wrap?.(made) ?? made)
  const server = createServer({
    options,
    broker: embeddedBroker({ dir: join(dir, 'log'), recordBytesMax: MIB + 65_536 }),
    store: embeddedStore({ dir: join(dir, 'store'), retentionMs: options.retentionMs, clock }),
    blobs,
    clock,
    random: systemRandom,
    telemetry: { log: pino({ level: 'silent' }), metrics: createMetrics() },
  })
  const { http, grpc } = await server.start()
  const stop = async () => {
    await server.stop({ graceMs: 2_000 })
  }
  t.after(stop)
  return { server, url: `http://127.0.0.1:${http.port}`, grpc: `127.0.0.1:${grpc.port}`, options, blobs, stop }
}

export function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-large-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export interface HttpTargetRig {
  readonly url: string
  /** Requests so far. */
  readonly calls: number
}

/** The other side of an HTTP target. */
export async function httpTarget(
  t: TestContext,
  answer: (body: Buffer, response: ServerResponse, request: IncomingMessage) => void,
): Promise<HttpTargetRig> {
  let calls = 0
  const server = createHttpServer(async (request, response) => {
    calls++
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    answer(Buffer.concat(chunks), response, request)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    get calls() {
      return calls
    },
  }
}

export function echo(body: Buffer, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/x-large' }).end(body)
}

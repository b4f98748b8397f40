import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { Consumer, Producer } from '@platformatic/kafka'
import { Coalescer } from './coalescer.ts'

/**
 * runtime.ts BOOTSTRAP PORT PREFIX: takes requests from the log, hands them to the workers that dialled in, in batches
 * over one stream, and appends what comes back to the results. Positions are committed once a second, whatever became
 * of the requests.
 */
const [bootstrap, port, prefix] = process.argv.slice(2) as [string, string, string]
const bootstrapBrokers = bootstrap.split(',')

interface Batch {
  items: { id: number; payload: Buffer }[]
}
type WorkerStream = ServerDuplexStream<Batch, Batch>

const definition = loadPackageDefinition(loadSync(new URL('work.proto', import.meta.url).pathname))
const { service } = (definition.diy as GrpcObject).Work as ServiceClientConstructor

const producer = new Producer({ clientId: 'diy-runtime', bootstrapBrokers })
const coalescer = new Coalescer(producer, 2)
const headersById = new Map<number, Map<Buffer, Buffer>>()
const streams: WorkerStream[] = []
let turn = 0
let lastId = 0

const server = new Server()
server.addService(service, {
  Pull(stream: WorkerStream) {
    streams.push(stream)
    console.log('a worker has joined')
    stream.on('data', ({ items }: Batch) => {
      for (const { id, payload } of items) {
        const headers = headersById.get(id)
        headersById.delete(id)
        coalescer.send({ topic: `${prefix}-results`, value: payload, ...(headers ? { headers } : {}) }, ignore)
      }
    })
    stream.on('error', ignore)
    stream.on('end', () => {
      streams.splice(streams.indexOf(stream), 1)
      stream.end()
    })
  },
})
await new Promise((resolve) => server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), resolve))

const consumer = new Consumer({
  clientId: 'diy-runtime',
  groupId: `${prefix}-runtime`,
  bootstrapBrokers,
  minBytes: 1,
  maxWaitTime: 1000,
})
const requests = await consumer.consume({
  topics: [`${prefix}-requests`],
  mode: 'latest',
  autocommit: 1000,
  sessionTimeout: 10_000,
  heartbeatInterval: 3_000,
})
let out: Batch['items'] = []
requests.on('data', (message) => {
  lastId = (lastId + 1) >>> 0
  headersById.set(lastId, message.headers)
  out.push({ id: lastId, payload: message.value })
  if (out.length === 1) setImmediate(handOut)
})
console.log('ready')

function handOut(): void {
  const items = out
  out = []
  streams[turn++ % streams.length]!.write({ items })
}

function ignore(): void {}

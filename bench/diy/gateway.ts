import { createServer } from 'node:http'
import { Consumer, Producer } from '@platformatic/kafka'
import { Coalescer } from './coalescer.ts'

/**
 * gateway.ts BOOTSTRAP PORT PREFIX: what a good engineer writes in a day. POST /accept appends and answers 202; POST
 * /call appends, waits for the result with its correlation id and answers with it. No ids that hold, no validation, no
 * limits, no store, no retries, and nothing survives its end.
 */
const [bootstrap, port, prefix] = process.argv.slice(2) as [string, string, string]
const bootstrapBrokers = bootstrap.split(',')
const PARTITIONS = 8
const CORRELATION = Buffer.from('cid')
const KEPT = '{"ok":1}'

const producer = new Producer({ clientId: 'diy-gateway', bootstrapBrokers })
const coalescer = new Coalescer(producer, 4)
const waiting = new Map<string, (value: Buffer) => void>()
let sequence = 0

const consumer = new Consumer({
  clientId: 'diy-gateway',
  groupId: `${prefix}-gateway-${process.pid}`,
  bootstrapBrokers,
  minBytes: 1,
  maxWaitTime: 1000,
})
const results = await consumer.consume({
  topics: [`${prefix}-results`],
  mode: 'latest',
  autocommit: false,
  sessionTimeout: 10_000,
  heartbeatInterval: 3_000,
})
results.on('data', (message) => {
  for (const [name, value] of message.headers) {
    if (!CORRELATION.equals(name)) continue
    const id = value.toString()
    const answer = waiting.get(id)
    if (!answer) return
    waiting.delete(id)
    answer(message.value)
  }
})

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const value = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const partition = sequence++ % PARTITIONS
    const refuse = (error: Error) => response.writeHead(503).end(error.message)
    if (request.url === '/accept') {
      coalescer.send({ topic: `${prefix}-accept`, partition, value }, (error) => {
        if (error) refuse(error)
        else response.writeHead(202, { 'content-type': 'application/json', 'content-length': KEPT.length }).end(KEPT)
      })
      return
    }
    const id = `${process.pid}-${sequence}`
    waiting.set(id, (result) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': result.length }).end(result)
    })
    const headers = new Map([[CORRELATION, Buffer.from(id)]])
    coalescer.send({ topic: `${prefix}-requests`, partition, value, headers }, (error) => {
      if (error && waiting.delete(id)) refuse(error)
    })
  })
})
server.listen(Number(port), '127.0.0.1', () => console.log('ready'))

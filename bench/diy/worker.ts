import {
  type ClientDuplexStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** worker.ts PORT: dials in to the runtime and sends every batch back as it came. */
const [port] = process.argv.slice(2) as [string]

const definition = loadPackageDefinition(loadSync(new URL('work.proto', import.meta.url).pathname))
const Work = (definition.diy as GrpcObject).Work as ServiceClientConstructor
const client = new Work(`127.0.0.1:${port}`, credentials.createInsecure())
const stream = client.Pull!() as ClientDuplexStream<unknown, unknown>
stream.on('data', (batch: unknown) => stream.write(batch))
stream.on('error', (error: Error) => {
  console.error(error.message)
  process.exitCode = 1
})
console.log('ready')

import { type DescFile, type DescService, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type Server, status, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'

/** What any gRPC client may ask of a server without knowing ours: is it well, and what does it speak. */
export interface GrpcServices {
  /** NOT_SERVING from now on, for the server as a whole and for each service; whoever follows that is told, and let go. */
  stop(): void
}

/** Adds grpc.health.v1.Health and server reflection (v1 and v1alpha) for these services. */
export function addGrpcServices(server: Server, services: readonly DescService[]): GrpcServices {
  const names = ['', ...services.map((service) => service.typeName)]
  const open = new Set<OpenStream>()
  const tracking = trackingStreams(server, open)
  const health = new HealthImplementation()
  health.addToServer(tracking)
  new ReflectionService(packageOf(services)).addToServer(tracking)
  for (const name of names) health.setStatus(name, 'SERVING')
  return {
    stop() {
      for (const name of names) health.setStatus(name, 'NOT_SERVING')
      for (const stream of open) stream.emit('error', STOPPING)
    },
  }
}

interface OpenStream {
  once(event: 'close', gone: () => void): unknown
  emit(event: 'error', status: typeof STOPPING): unknown
}

const STOPPING = { code: status.UNAVAILABLE, details: 'This server is stopping.' }

/** Both services leave their streams open for as long as callers do, which would hold up the server's shutdown. */
function trackingStreams(server: Server, open: Set<OpenStream>): Server {
  const add: Server['addService'] = (definition, implementation) => {
    const handlers = Object.entries(implementation).map(([name, handle]) => [name, tracked(handle as Handle, open)])
    server.addService(definition, Object.fromEntries(handlers) as UntypedServiceImplementation)
  }
  return { addService: add } as Server
}

type Handle = (call: object, answer: unknown) => unknown

function tracked(handle: Handle, open: Set<OpenStream>): Handle {
  return (call, answer) => {
    if ('write' in call) {
      const stream = call as unknown as OpenStream
      open.add(stream)
      stream.once('close', () => open.delete(stream))
    }
    return handle(call, answer)
  }
}

/** Of a package definition as proto-loader makes it, reflection reads only the descriptors; ours are in the generated code. */
function packageOf(services: readonly DescService[]): ReflectedPackage {
  const files = new Map<string, Buffer>()
  for (const service of services) addFile(service.file, files)
  return {
    forebay: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos: [...files.values()] },
  }
}

type ReflectedPackage = ConstructorParameters<typeof ReflectionService>[0]

function addFile(file: DescFile, files: Map<string, Buffer>): void {
  if (files.has(file.name)) return
  for (const dependency of file.dependencies) addFile(dependency, files)
  files.set(file.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)))
}

import { type DescFile, type DescService, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import type { Server } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'

/** What any gRPC client may ask of a server without knowing ours: is it well, and what does it speak. */
export interface GrpcServices {
  /** SERVING for the server as a whole and for each service, until called with false. */
  setServing(serving: boolean): void
}

/** Adds grpc.health.v1.Health and server reflection (v1 and v1alpha) for these services. */
export function addGrpcServices(server: Server, services: readonly DescService[]): GrpcServices {
  const names = ['', ...services.map((service) => service.typeName)]
  const health = new HealthImplementation()
  health.addToServer(server)
  new ReflectionService(packageOf(services)).addToServer(server)
  const setServing = (serving: boolean) => {
    for (const name of names) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING')
  }
  setServing(true)
  return { setServing }
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

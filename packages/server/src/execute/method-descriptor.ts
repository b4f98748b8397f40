import { createFileRegistry, type DescMethod, type FileRegistry, fromBinary } from '@bufbuild/protobuf'
import { type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { ForebayError } from '@forebay/protocol'
import { nearestName } from '../nearest-name.ts'
import { completeDescriptors } from './complete-descriptors.ts'

/** A method that a target calls, with all types that its messages may hold. */
export interface MethodDescriptor {
  readonly method: DescMethod
  readonly registry: FileRegistry
}

/** @throws ForebayError CONFIG_INVALID: the bytes are no FileDescriptorSet, or lack the method, or it takes a stream. */
export function methodOfDescriptorSet(
  bytes: Uint8Array,
  file: string,
  service: string,
  method: string,
): MethodDescriptor {
  let files: readonly FileDescriptorProto[]
  try {
    files = fromBinary(FileDescriptorSetSchema, bytes).file
  } catch (cause) {
    const message = `descriptors: '${file}' is not a FileDescriptorSet; make one with 'buf build -o FILE' or 'protoc --include_imports --descriptor_set_out=FILE'.`
    throw new ForebayError('CONFIG_INVALID', message, { cause })
  }
  const source = `descriptors '${file}'`
  return requireOneRequest(findMethod(files, source, service, method), source)
}

/**
 * `source`: where the files come from, for the message.
 * @throws ForebayError CONFIG_INVALID
 */
export function findMethod(
  files: readonly FileDescriptorProto[],
  source: string,
  serviceName: string,
  methodName: string,
): MethodDescriptor {
  const registry = linked(files, source)
  const service = registry.getService(serviceName)
  if (service === undefined) {
    const names = [...registry].filter((type) => type.kind === 'service').map((type) => type.typeName)
    throw new ForebayError('CONFIG_INVALID', `${source}: no service '${serviceName}'${meant(serviceName, names)}`)
  }
  const method = service.methods.find((candidate) => candidate.name === methodName)
  if (method === undefined) {
    const names = service.methods.map((candidate) => candidate.name)
    const message = `${source}: service '${serviceName}' has no method '${methodName}'${meant(methodName, names)}`
    throw new ForebayError('CONFIG_INVALID', message)
  }
  return { method, registry }
}

/** A task is one request; its answer may be a stream. @throws ForebayError CONFIG_INVALID */
export function requireOneRequest(descriptor: MethodDescriptor, source: string): MethodDescriptor {
  const { method } = descriptor
  if (method.methodKind === 'unary' || method.methodKind === 'server_streaming') return descriptor
  const name = `${method.parent.typeName}/${method.name}`
  const message = `the method '${name}' takes a stream of requests; a target must be unary or server-streaming.`
  throw new ForebayError('CONFIG_INVALID', `${source}: ${message}`)
}

/** '; did you mean …?', or what there is. */
export function meant(wanted: string, known: readonly string[]): string {
  const near = nearestName(wanted, known)
  if (near !== null) return `; did you mean '${near}'?`
  return known.length === 0 ? '.' : `; there is ${known.slice(0, NAMES_SHOWN).join(', ')}.`
}

/** Files may come in any order; protobuf-es wants imports first. */
function linked(files: readonly FileDescriptorProto[], source: string): FileRegistry {
  completeDescriptors(files)
  const byName = new Map(files.map((file) => [file.name, file]))
  const sorted: FileDescriptorProto[] = []
  const seen = new Set<string>()
  const visit = (name: string, importedBy: string) => {
    if (seen.has(name)) return
    seen.add(name)
    const file = byName.get(name)
    if (file === undefined) {
      const message = `${source}: '${importedBy}' imports '${name}', which is missing; include all imports.`
      throw new ForebayError('CONFIG_INVALID', message)
    }
    for (const dependency of file.dependency) visit(dependency, name)
    sorted.push(file)
  }
  for (const file of files) visit(file.name, '')
  try {
    return createFileRegistry({ $typeName: 'google.protobuf.FileDescriptorSet', file: sorted })
  } catch (cause) {
    const reason = (cause instanceof Error && cause.message) || 'a type is missing'
    throw new ForebayError('CONFIG_INVALID', `${source}: the descriptors do not fit together: ${reason}`, { cause })
  }
}

const NAMES_SHOWN = 10

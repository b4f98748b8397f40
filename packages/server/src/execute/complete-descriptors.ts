import type { DescriptorProto, FieldDescriptorProto, FileDescriptorProto } from '@bufbuild/protobuf/wkt'

/**
 * Mends what protobufjs leaves out of the descriptors it makes, and so every Node server with proto-loader and
 * @grpc/reflection: names of types that are relative to where they are used, imports that are not listed, empty JSON
 * names. Complete
 * descriptors, as compilers write them, pass unchanged. Mends in place.
 */
export function completeDescriptors(files: readonly FileDescriptorProto[]): void {
  const homes = new Map<string, string>()
  for (const file of files) {
    for (const { name } of file.enumType) homes.set(joined(file.package, name), file.name)
    for (const message of file.messageType) addTypes(homes, file, message, file.package)
  }
  for (const file of files) new Completion(file, homes).complete()
}

class Completion {
  readonly #file: FileDescriptorProto
  /** File of each type, by its full name. */
  readonly #homes: ReadonlyMap<string, string>
  readonly #imports: Set<string>

  constructor(file: FileDescriptorProto, homes: ReadonlyMap<string, string>) {
    this.#file = file
    this.#homes = homes
    this.#imports = new Set(file.dependency)
  }

  complete(): void {
    const file = this.#file
    for (const message of file.messageType) this.#completeMessage(message, file.package)
    for (const field of file.extension) this.#completeField(field, file.package)
    for (const service of file.service) {
      for (const method of service.method) {
        method.inputType = this.#absolute(method.inputType, file.package)
        method.outputType = this.#absolute(method.outputType, file.package)
      }
    }
    file.dependency = [...this.#imports]
  }

  #completeMessage(message: DescriptorProto, scope: string): void {
    const name = joined(scope, message.name)
    for (const field of [...message.field, ...message.extension]) this.#completeField(field, name)
    for (const nested of message.nestedType) this.#completeMessage(nested, name)
  }

  #completeField(field: FieldDescriptorProto, scope: string): void {
    if (field.jsonName === '') field.jsonName = camelCase(field.name)
    if (field.typeName !== '') field.typeName = this.#absolute(field.typeName, scope)
    if (field.extendee !== '') field.extendee = this.#absolute(field.extendee, scope)
  }

  /** Looks from the innermost scope outwards, as in a .proto file. */
  #absolute(name: string, scope: string): string {
    if (name.startsWith('.')) {
      this.#import(name.slice(1))
      return name
    }
    for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))) {
      const full = joined(outer, name)
      if (this.#homes.has(full)) {
        this.#import(full)
        return `.${full}`
      }
      if (outer === '') return name
    }
  }

  /** A public import may already bring it in; importing it directly as well does no harm. */
  #import(fullName: string): void {
    const home = this.#homes.get(fullName)
    if (home !== undefined && home !== this.#file.name) this.#imports.add(home)
  }
}

function addTypes(
  homes: Map<string, string>,
  file: FileDescriptorProto,
  message: DescriptorProto,
  scope: string,
): void {
  const name = joined(scope, message.name)
  homes.set(name, file.name)
  for (const nested of message.enumType) homes.set(joined(name, nested.name), file.name)
  for (const nested of message.nestedType) addTypes(homes, file, nested, name)
}

/** As compilers derive a field's name in JSON. */
function camelCase(name: string): string {
  return name.replace(/_+([^_]?)/g, (_underscores, letter: string) => letter.toUpperCase())
}

function joined(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`
}

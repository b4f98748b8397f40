import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/**
 * The few messages of gRPC server reflection that finding a method takes, by hand. Versions v1 and v1alpha are alike on
 * the wire.
 */
export type ReflectionQuestion =
  | { readonly ask: 'file-by-name'; readonly name: string }
  | { readonly ask: 'file-of-symbol'; readonly symbol: string }
  | { readonly ask: 'services' }

export type ReflectionAnswer =
  /** Serialized FileDescriptorProtos: what was asked for, and perhaps what it imports. */
  | { readonly kind: 'files'; readonly files: readonly Uint8Array[] }
  | { readonly kind: 'services'; readonly names: readonly string[] }
  | { readonly kind: 'error'; readonly status: number; readonly message: string }

/** ServerReflectionRequest */
export function encodeQuestion(question: ReflectionQuestion): Buffer {
  const writer = new BinaryWriter()
  switch (question.ask) {
    case 'file-by-name':
      writer.tag(3, WireType.LengthDelimited).string(question.name)
      break
    case 'file-of-symbol':
      writer.tag(4, WireType.LengthDelimited).string(question.symbol)
      break
    case 'services':
      writer.tag(7, WireType.LengthDelimited).string('*')
  }
  return Buffer.from(writer.finish())
}

/** ServerReflectionResponse; throws on bytes that are none. */
export function decodeAnswer(bytes: Uint8Array): ReflectionAnswer {
  const reader = new BinaryReader(bytes)
  let answer: ReflectionAnswer = { kind: 'error', status: 2, message: 'the answer is empty' }
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (wireType !== WireType.LengthDelimited) reader.skip(wireType, field)
    else if (field === 4) answer = { kind: 'files', files: fieldsOf(reader.bytes()).get(1) ?? [] }
    else if (field === 6) answer = { kind: 'services', names: serviceNames(reader.bytes()) }
    else if (field === 7) answer = errorOf(reader.bytes())
    else reader.skip(wireType, field)
  }
  return answer
}

function serviceNames(list: Uint8Array): string[] {
  return (fieldsOf(list).get(1) ?? []).flatMap((service) => (fieldsOf(service).get(1) ?? []).map(text))
}

function errorOf(bytes: Uint8Array): ReflectionAnswer {
  const reader = new BinaryReader(bytes)
  let status = 2
  let message = ''
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.Varint) status = reader.int32()
    else if (field === 2 && wireType === WireType.LengthDelimited) message = text(reader.bytes())
    else reader.skip(wireType, field)
  }
  return { kind: 'error', status, message }
}

/** All length-delimited fields by number. */
function fieldsOf(message: Uint8Array): Map<number, Uint8Array[]> {
  const reader = new BinaryReader(message)
  const fields = new Map<number, Uint8Array[]>()
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (wireType !== WireType.LengthDelimited) {
      reader.skip(wireType, field)
      continue
    }
    const values = fields.get(field)
    if (values === undefined) fields.set(field, [reader.bytes()])
    else values.push(reader.bytes())
  }
  return fields
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8')
}

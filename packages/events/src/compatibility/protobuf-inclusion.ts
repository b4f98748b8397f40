import protobuf, { type Enum, type Field, type Root, type Type } from 'protobufjs'
import type { TextSchema } from './described-event.ts'
import type { Problem } from './place.ts'
import { isSameData } from './schema-place.ts'

/** Which of the two came first: what is gone has to be reserved, and what was reserved may not come again. */
export type ProtobufDirection = 'reader-is-newer' | 'writer-is-newer'

/** Whether messages of the writer's .proto text can be read by the reader's. Numbers and types count, names do not. */
export function protobufProblems(
  reader: TextSchema,
  writer: TextSchema,
  direction: ProtobufDirection,
): readonly Problem[] {
  const [message, other] = [reader.recordName ?? null, writer.recordName ?? null]
  if (message !== null && other !== null && message !== other) {
    return [{ path: '', message: `is written as ${other} and read as ${message}`, isCertain: true }]
  }
  if (!isSameData(reader.imports ?? [], writer.imports ?? [])) {
    return [{ path: '', message: 'cannot be decided: a file that it imports is another', isCertain: false }]
  }
  return reader.text === writer.text ? [] : textProblems(reader.text, writer.text, direction)
}

function textProblems(reader: string, writer: string, direction: ProtobufDirection): readonly Problem[] {
  const roots: Root[] = []
  for (const text of [reader, writer]) {
    try {
      roots.push(protobuf.parse(text, { keepCase: true }).root)
    } catch (cause) {
      const message = `cannot be decided: a .proto text cannot be read: ${(cause as Error).message}`
      return [{ path: '', message, isCertain: false }]
    }
  }
  const [read, written] = roots.map(namedIn) as [Names, Names]
  return [...written].flatMap(([name, one]) => {
    const other = read.get(name)
    if (other === undefined) {
      if (direction === 'writer-is-newer') return []
      return [{ path: `/${name}`, message: 'is gone', isCertain: true }]
    }
    if (one instanceof protobuf.Type && other instanceof protobuf.Type)
      return fieldProblems(other, one, name, direction)
    if (one instanceof protobuf.Enum && other instanceof protobuf.Enum) return valueProblems(other, one, name)
    return [{ path: `/${name}`, message: 'is a message on one side and an enum on the other', isCertain: true }]
  })
}

type Names = ReadonlyMap<string, Type | Enum>

function namedIn(root: Root): Names {
  const names = new Map<string, Type | Enum>()
  visit(root)
  return names

  function visit(one: protobuf.ReflectionObject): void {
    if (one instanceof protobuf.Type || one instanceof protobuf.Enum) names.set(one.fullName.slice(1), one)
    if (one instanceof protobuf.Namespace) for (const nested of one.nestedArray) visit(nested)
  }
}

function fieldProblems(reader: Type, writer: Type, name: string, direction: ProtobufDirection): readonly Problem[] {
  const found: Problem[] = []
  const says = (field: Field, message: string, isCertain = true) =>
    found.push({ path: `/${name}/${field.name}`, message, isCertain })
  for (const field of writer.fieldsArray) {
    const other = reader.fieldsById[field.id]
    if (other !== undefined) {
      const why = differ(other, field)
      if (why !== null) says(field, `field ${field.id} ${why.message}`, why.isCertain)
    } else if (direction === 'reader-is-newer' && !reader.isReservedId(field.id)) {
      says(field, `field ${field.id} is gone, and its number is not reserved`)
    } else if (direction === 'writer-is-newer' && reader.isReservedId(field.id)) {
      says(field, `field ${field.id} has a number that was reserved`)
    }
  }
  for (const field of reader.fieldsArray.filter(({ required }) => required)) {
    if (writer.fieldsById[field.id]?.required !== true) says(field, `field ${field.id} is required, and may be missing`)
  }
  return found
}

function differ(reader: Field, writer: Field): { readonly message: string; readonly isCertain: boolean } | null {
  const [read, written] = [shapeOf(reader), shapeOf(writer)]
  if (read !== written) {
    const isNear = NEAR.some((group) => group.includes(reader.type) && group.includes(writer.type))
    const message = `is written as ${written} and read as ${read}`
    return { message: isNear ? `${message}: values may be cut` : message, isCertain: !isNear }
  }
  if ((reader.partOf === null) !== (writer.partOf === null)) {
    return { message: 'cannot be decided: it moved into or out of a oneof', isCertain: false }
  }
  return null
}

/** Of one wire type: what arrives is read, and may be another value. */
const NEAR = [
  ['int32', 'uint32', 'int64', 'uint64', 'bool'],
  ['sint32', 'sint64'],
  ['fixed32', 'sfixed32'],
  ['fixed64', 'sfixed64'],
  ['string', 'bytes'],
]

function shapeOf(field: Field): string {
  if (field instanceof protobuf.MapField) return `map<${field.keyType}, ${field.type}>`
  return field.repeated ? `repeated ${field.type}` : field.type
}

function valueProblems(reader: Enum, writer: Enum, name: string): readonly Problem[] {
  return Object.entries(writer.values)
    .filter(([, number]) => reader.valuesById[number] === undefined)
    .map(([value, number]) => ({
      path: `/${name}/${value}`,
      message: `${number} is no value that the reader has a name for`,
      isCertain: true,
    }))
}

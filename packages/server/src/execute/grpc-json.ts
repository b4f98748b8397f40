import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import type { MethodDescriptor } from './method-descriptor.ts'

export type EncodedRequest =
  | { readonly ok: true; readonly bytes: Buffer }
  /** What in the request is at fault, by JSON pointer, for the caller. */
  | { readonly ok: false; readonly message: string }

/** A task's JSON as the method's request message, by protobuf's JSON mapping. */
export function encodeJsonRequest(payload: Uint8Array, { method, registry }: MethodDescriptor): EncodedRequest {
  let json: JsonValue
  try {
    json = JSON.parse(UTF8.decode(payload)) as JsonValue
  } catch {
    return { ok: false, message: `The task is not JSON, which ${method.input.typeName} is to be made of.` }
  }
  try {
    const bytes = toBinary(method.input, fromJson(method.input, json, { registry }))
    return { ok: true, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
  } catch (error) {
    const { pointer, reason } = findFault(method.input, json, '', (desc, value) => {
      fromJson(desc, value, { registry })
    }) ?? { pointer: '', reason: reasonOf(error) }
    const where = pointer === '' ? 'The task' : `'${pointer}' of the task`
    return { ok: false, message: `${where} does not fit ${method.input.typeName}: ${reason}` }
  }
}

/** The method's response as JSON; throws on bytes that are not its response message. */
export function decodeJsonResponse(bytes: Uint8Array, { method, registry }: MethodDescriptor): Buffer {
  return Buffer.from(JSON.stringify(toJson(method.output, fromBinary(method.output, bytes), { registry })))
}

interface JsonFault {
  readonly pointer: string
  readonly reason: string
}

/**
 * The first member that is at fault. protobuf-es names only the innermost field, so the JSON is walked beside its
 * descriptor, each leaf read alone and once; only when the whole has failed already.
 */
function findFault(
  desc: DescMessage,
  json: JsonValue,
  pointer: string,
  read: (desc: DescMessage, json: JsonValue) => void,
): JsonFault | null {
  if (!isPlain(desc) || !isObject(json)) return faultOf(desc, json, pointer, read)
  for (const [name, value] of Object.entries(json)) {
    const here = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const field = desc.fields.find((candidate) => candidate.jsonName === name || candidate.name === name)
    const fault =
      field === undefined
        ? faultOf(desc, { [name]: value }, here, read)
        : findFieldFault(desc, field, name, value, here, read)
    if (fault !== null) return fault
  }
  return null
}

function findFieldFault(
  desc: DescMessage,
  field: DescField,
  name: string,
  value: JsonValue,
  pointer: string,
  read: (desc: DescMessage, json: JsonValue) => void,
): JsonFault | null {
  const inner = field.message
  if (inner === undefined || !isPlain(inner) || value === null) return faultOf(desc, { [name]: value }, pointer, read)
  if (field.fieldKind === 'message') return findFault(inner, value, pointer, read)
  const isList = field.fieldKind === 'list'
  if (isList !== Array.isArray(value) || !(Array.isArray(value) || isObject(value))) {
    return faultOf(desc, { [name]: value }, pointer, read)
  }
  for (const [index, item] of Object.entries(value)) {
    const fault = findFault(inner, item as JsonValue, `${pointer}/${index}`, read)
    if (fault !== null) return fault
  }
  return null
}

function faultOf(
  desc: DescMessage,
  json: JsonValue,
  pointer: string,
  read: (desc: DescMessage, json: JsonValue) => void,
): JsonFault | null {
  try {
    read(desc, json)
    return null
  } catch (error) {
    return { pointer, reason: reasonOf(error) }
  }
}

/** Google's well-known types have JSON forms of their own. */
function isPlain(desc: DescMessage): boolean {
  return !desc.typeName.startsWith('google.protobuf.')
}

function isObject(json: JsonValue): json is { [name: string]: JsonValue } {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

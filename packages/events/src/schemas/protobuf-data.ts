import protobuf from 'protobufjs'
import type { Longs } from './protobuf-message.ts'

/**
 * Plain data for what protobufjs has read. What has no presence of its own is its zero, a list or a map is empty; of what
 * has (messages, `optional`, members of a oneof) only what was written is there. Throws where a long is beyond a number.
 */
export function dataOf(type: protobuf.Type, message: object, longs: Longs): Record<string, unknown> {
  const data: Record<string, unknown> = {}
  for (const field of type.fieldsArray) {
    const { name } = field
    const value = Object.hasOwn(message, name) ? (message as Record<string, unknown>)[name] : undefined
    if (field instanceof protobuf.MapField)
      data[name] = mapOf(field as protobuf.MapField, value as Record<string, unknown> | undefined, longs)
    else if (field.repeated) data[name] = ((value ?? []) as unknown[]).map((item) => single(field, item, longs))
    else if (value !== undefined && value !== null) data[name] = single(field, value, longs)
    else if (!field.hasPresence && !(field.resolvedType instanceof protobuf.Type)) data[name] = zeroOf(field, longs)
  }
  return data
}

function mapOf(field: protobuf.MapField, map: Record<string, unknown> = {}, longs: Longs): Record<string, unknown> {
  const data: Record<string, unknown> = {}
  const isUnsigned = field.keyType === 'uint64' || field.keyType === 'fixed64'
  for (const [key, value] of Object.entries(map)) {
    if (key === '__proto__') throw new Error(`the map ${field.name} has the key __proto__`)
    const isHash = LONGS.has(field.keyType) && key.length === HASH_CHARS
    data[isHash ? longFromHash(key, isUnsigned) : key] = single(field as protobuf.FieldBase, value, longs)
  }
  return data
}

/** protobufjs keys maps of 64-bit integers by the eight bytes of the integer. */
function longFromHash(hash: string, isUnsigned: boolean): string {
  return String(protobuf.util.longFromHash(hash, isUnsigned))
}

function single(field: protobuf.FieldBase, value: unknown, longs: Longs): unknown {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return dataOf(resolvedType, value as object, longs)
  // A value that a newer version has stays a number.
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[value as number] ?? value
  if (!LONGS.has(field.type)) return value
  const { low, high, unsigned } = value as { low: number; high: number; unsigned: boolean }
  const exact = BigInt(unsigned ? high >>> 0 : high) * 2n ** 32n + BigInt(low >>> 0)
  if (longs === 'bigint') return exact
  const number = Number(exact)
  if (Number.isSafeInteger(number)) return number
  throw new Error(`the ${field.type} ${exact} in ${field.name} is beyond 2^53 - 1, so no number: read longs as bigints`)
}

function zeroOf(field: protobuf.Field, longs: Longs): unknown {
  if (LONGS.has(field.type)) return longs === 'bigint' ? 0n : 0
  if (field.type === 'bytes') return Buffer.alloc(0)
  if (field.resolvedType instanceof protobuf.Enum) return field.resolvedType.valuesById[field.typeDefault as number]
  return field.typeDefault
}

const LONGS: ReadonlySet<string> = new Set(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'])
const HASH_CHARS = 8

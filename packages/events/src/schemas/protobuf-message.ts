import protobuf from 'protobufjs'
import { faultAt } from './data-faults.ts'

export type Longs = 'number' | 'bigint'

type Path = readonly (string | number)[]

/** The message that protobufjs writes for this data, or null; what is wrong with the data is added to `faults`. */
export function messageFor(type: protobuf.Type, data: unknown, longs: Longs, faults: string[]): object | null {
  return message(type, data, [], { longs, faults })
}

interface Context {
  readonly longs: Longs
  readonly faults: string[]
}

function message(type: protobuf.Type, data: unknown, path: Path, context: Context): object | null {
  if (path.length > DEPTH_MAX * 2) throw new Error('it is nested too deeply')
  if (!isObject(data)) return fault(path, `must be ${nameOf(type)}`, context)
  const made: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) continue
    const at = [...path, name]
    const field = Object.hasOwn(type.fields, name) ? type.fields[name] : undefined
    if (field === undefined) fault(at, `is no field of ${nameOf(type)}`, context)
    else if (value === null) fault(at, 'is null: leave it out', context)
    else made[name] = fieldValue(field, value, at, context)
  }
  for (const field of type.fieldsArray) {
    if (field.required && !Object.hasOwn(made, field.name)) fault([...path, field.name], 'is required', context)
  }
  for (const oneof of type.oneofsArray) {
    const set = oneof.fieldsArray.filter(({ name }) => Object.hasOwn(made, name)).map(({ name }) => name)
    if (set.length > 1) fault(path, `has more than one ${oneof.name}: ${set.join(', ')}`, context)
  }
  return made
}

function fieldValue(field: protobuf.Field, value: unknown, path: Path, context: Context): unknown {
  if (field instanceof protobuf.MapField) {
    if (!isObject(value)) return fault(path, 'must be an object', context)
    const made: Record<string, unknown> = {}
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, key]
      if (key === '__proto__' || !isKey(field.keyType, key)) fault(at, `is no key of type ${field.keyType}`, context)
      else made[key] = single(field, item, at, context)
    }
    return made
  }
  if (!field.repeated) return single(field, value, path, context)
  if (!Array.isArray(value)) return fault(path, 'must be an array', context)
  return value.map((item: unknown, index) => single(field, item, [...path, index], context))
}

function single(field: protobuf.FieldBase, value: unknown, path: Path, context: Context): unknown {
  const { resolvedType } = field
  if (resolvedType instanceof protobuf.Type) return message(resolvedType, value, path, context)
  if (resolvedType instanceof protobuf.Enum) return enumNumber(resolvedType, value, path, context)
  if (INTEGERS_64[field.type] !== undefined) return long(field.type, value, path, context)
  const scalar = SCALARS[field.type]
  if (scalar === undefined) throw new Error(`${field.type} is no type that is known here`)
  return scalar.is(value) ? value : fault(path, `must be ${scalar.name}`, context)
}

function enumNumber(type: protobuf.Enum, value: unknown, path: Path, context: Context): number | null {
  const { values } = type
  if (typeof value === 'string' && Object.hasOwn(values, value)) return values[value]!
  // One that a newer version has, as a reader of an older one gets it.
  if (isInteger(value, -(2 ** 31), 2 ** 31 - 1)) return value as number
  return fault(path, `must be one of ${Object.keys(values).join(', ')}`, context)
}

/** In the halves that protobufjs writes. */
function long(type: string, value: unknown, path: Path, context: Context): object | null {
  const [least, most] = INTEGERS_64[type]!
  const isExact = context.longs === 'bigint' ? typeof value === 'bigint' : Number.isSafeInteger(value)
  const exact = isExact ? BigInt(value as bigint | number) : null
  if (exact === null || exact < least || exact > most) return fault(path, `must be ${type} (${context.longs})`, context)
  return {
    low: Number(BigInt.asIntN(32, exact)),
    high: Number(BigInt.asIntN(32, exact >> 32n)),
    unsigned: least === 0n,
  }
}

function isKey(type: string, key: string): boolean {
  if (type === 'string') return key.isWellFormed()
  if (type === 'bool') return key === 'true' || key === 'false'
  if (!/^(0|-?[1-9]\d{0,19})$/.test(key)) return false
  const range = INTEGERS_64[type]
  if (range === undefined) return SCALARS[type]!.is(Number(key))
  return BigInt(key) >= range[0] && BigInt(key) <= range[1]
}

function fault(path: Path, what: string, { faults }: Context): null {
  faults.push(faultAt(path, what))
  return null
}

function nameOf(type: protobuf.Type): string {
  return type.fullName.slice(1)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function isInteger(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

const INT32 = { name: 'an int32', is: (value: unknown) => isInteger(value, -(2 ** 31), 2 ** 31 - 1) }
const UINT32 = { name: 'a uint32', is: (value: unknown) => isInteger(value, 0, 2 ** 32 - 1) }
const NUMBER = { name: 'a number', is: (value: unknown) => typeof value === 'number' }
const SCALARS: Readonly<Record<string, { readonly name: string; is(value: unknown): boolean }>> = {
  int32: INT32,
  sint32: INT32,
  sfixed32: INT32,
  uint32: UINT32,
  fixed32: UINT32,
  double: NUMBER,
  float: NUMBER,
  bool: { name: 'a boolean', is: (value) => typeof value === 'boolean' },
  string: { name: 'a text', is: (value) => typeof value === 'string' && value.isWellFormed() },
  bytes: { name: 'a Uint8Array', is: (value) => value instanceof Uint8Array },
}

const SIGNED = [-(2n ** 63n), 2n ** 63n - 1n] as const
const UNSIGNED = [0n, 2n ** 64n - 1n] as const
const INTEGERS_64: Readonly<Record<string, readonly [least: bigint, most: bigint]>> = {
  int64: SIGNED,
  sint64: SIGNED,
  sfixed64: SIGNED,
  uint64: UNSIGNED,
  fixed64: UNSIGNED,
}
/** Messages within each other, as other implementations read them. */
const DEPTH_MAX = 100

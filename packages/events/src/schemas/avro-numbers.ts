import avro, { type Type } from 'avsc'

/**
 * Numbers in place of avsc's own, which reads a long beyond 2^52 as another, even of the other sign, where it doubles it in
 * a float to undo the zigzag.
 */
export function numberTypes(longs: 'number' | 'bigint'): Record<string, Type> {
  return { long: longs === 'bigint' ? BIGINT_LONG : NUMBER_LONG, double: DOUBLE, float: FLOAT }
}

const BIGINT_LONG = avro.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer(value: bigint) {
    const buffer = Buffer.alloc(8)
    buffer.writeBigInt64LE(value)
    return buffer
  },
  // Also of ints that a reader takes for longs, and of defaults.
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => String(value),
  isValid: (value: unknown) => typeof value === 'bigint' && BigInt.asIntN(64, value) === value,
  compare: (one: bigint, other: bigint) => (one === other ? 0 : one < other ? -1 : 1),
})

const NUMBER_LONG = avro.types.LongType.__with({
  fromBuffer(buffer: Buffer) {
    const value = buffer.readInt32LE(4) * 2 ** 32 + buffer.readUInt32LE(0)
    if (Number.isSafeInteger(value)) return value
    throw new Error(`the long ${buffer.readBigInt64LE()} is beyond 2^53 - 1, so no number: read longs as bigints`)
  },
  toBuffer(value: number) {
    const buffer = Buffer.alloc(8)
    const high = Math.floor(value / 2 ** 32)
    buffer.writeInt32LE(high, 4)
    buffer.writeUInt32LE(value - high * 2 ** 32, 0)
    return buffer
  },
  fromJSON: (value: number) => value,
  toJSON: (value: number) => value,
  isValid: (value: unknown) => Number.isSafeInteger(value),
  compare: (one: number, other: number) => one - other,
})

const DOUBLE = promoting(new avro.types.DoubleType())
const FLOAT = promoting(new avro.types.FloatType())

/** avsc asks a reader's type how it reads a writer's by `_update`: here a long is read by the writer's own type. */
function promoting(type: Type): Type {
  const own = (type as unknown as Reader)._update
  return Object.create(type, {
    _update: {
      value(this: Type, resolver: Resolver, writer: Type & { _read(tap: unknown): number | bigint }) {
        if (writer.typeName === 'abstract:long') resolver._read = (tap) => Number(writer._read(tap))
        else own.call(this, resolver, writer)
      },
    },
  })
}

interface Reader {
  _update(resolver: Resolver, writer: Type): void
}

interface Resolver {
  _read: (tap: unknown) => unknown
}

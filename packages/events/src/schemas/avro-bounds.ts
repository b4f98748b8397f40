import { isUtf8 } from 'node:buffer'
import avro, { type Type } from 'avsc'

/**
 * Walks over bytes as their writer's schema has them and throws where they end early, go on behind their end, nest too
 * deeply or claim more than they hold. The decoder of avsc looks at lengths only when it is through, so that eight bytes
 * which announce 2^50 items would keep it busy for good.
 */
export function boundsOf(type: Type): (bytes: Buffer) => void {
  const skip = skipperOf(type, new Map())
  return (bytes) => {
    const walk = new Walk(bytes)
    skip(walk)
    if (walk.at < bytes.length) throw new Error(`it ends at byte ${walk.at} of ${bytes.length}`)
  }
}

type Skip = (walk: Walk) => void

class Walk {
  readonly bytes: Buffer
  at = 0
  depth = 0
  /** Items of arrays that take no bytes, which the length of the whole does not bound. */
  emptyItems = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** Zigzag; beyond 2^53 not exact, which is of no matter here. */
  long(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < LONG_BYTES_MAX; count++, scale *= 128) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw this.short()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new Error(`the number before byte ${this.at} has no end`)
  }

  skip(count: number): void {
    if (!(count >= 0 && count <= this.bytes.length - this.at)) throw this.short()
    this.at += count
  }

  text(): Buffer {
    const count = this.long()
    const from = this.at
    this.skip(count)
    const text = this.bytes.subarray(from, this.at)
    if (!isUtf8(text)) throw new Error(`the text at byte ${from} is no UTF-8`)
    return text
  }

  short(): Error {
    return new Error(`it claims more than its ${this.bytes.length} bytes`)
  }
}

/** Types may hold themselves: each is looked up when it is met again. */
function skipperOf(type: Type, known: Map<Type, Skip>): Skip {
  const found = known.get(type)
  if (found !== undefined) return (walk) => known.get(type)!(walk)
  known.set(type, () => {})
  const skip = makeSkipper(type, (inner) => skipperOf(inner, known))
  known.set(type, skip)
  return skip
}

function makeSkipper(type: Type, inner: (type: Type) => Skip): Skip {
  if (avro.Type.isType(type, 'union')) {
    const branches = (type as avro.types.UnwrappedUnionType).types.map(inner)
    return (walk) => {
      const index = walk.long()
      const branch = branches[index]
      if (branch === undefined) throw new Error(`the union before byte ${walk.at} has no branch ${index}`)
      branch(walk)
    }
  }
  if (avro.Type.isType(type, 'record')) {
    const fields = (type as avro.types.RecordType).fields.map((field) => inner(field.type))
    return nested((walk) => {
      for (const field of fields) field(walk)
    })
  }
  if (avro.Type.isType(type, 'array')) return nested(blocks(inner((type as avro.types.ArrayType).itemsType)))
  if (avro.Type.isType(type, 'map')) {
    const value = inner((type as { valuesType?: Type }).valuesType!)
    return nested(
      blocks((walk) => {
        if (walk.text().equals(PROTO)) throw new Error(`a map has the key ${PROTO}`)
        value(walk)
      }),
    )
  }
  return skipperOfLeaf(type)
}

function skipperOfLeaf(type: Type): Skip {
  const { typeName } = type
  switch (typeName) {
    case 'null':
      return () => {}
    case 'boolean':
      return (walk) => walk.skip(1)
    case 'int':
    case 'long':
    case 'abstract:long':
    case 'enum':
      return (walk) => void walk.long()
    case 'float':
      return (walk) => walk.skip(4)
    case 'double':
      return (walk) => walk.skip(8)
    case 'bytes':
      return (walk) => walk.skip(walk.long())
    case 'string':
      return (walk) => void walk.text()
    case 'fixed': {
      const { size } = type as avro.types.FixedType
      return (walk) => walk.skip(size)
    }
    default:
      throw new Error(`unknown Avro type ${typeName}`)
  }
}

function nested(skip: Skip): Skip {
  return (walk) => {
    if (++walk.depth > DEPTH_MAX) throw new Error(`it is nested deeper than ${DEPTH_MAX}`)
    skip(walk)
    walk.depth--
  }
}

/** Blocks of items, each with its count; a negative one is followed by the block's length in bytes. */
function blocks(item: Skip): Skip {
  return (walk) => {
    for (let count = walk.long(); count !== 0; count = walk.long()) {
      if (count < 0) {
        count = -count
        walk.long()
      }
      for (let index = 0; index < count; index++) {
        const { at } = walk
        item(walk)
        if (walk.at === at && ++walk.emptyItems > EMPTY_ITEMS_MAX) {
          throw new Error(`it has more than ${EMPTY_ITEMS_MAX} items that take no bytes`)
        }
      }
    }
  }
}

const LONG_BYTES_MAX = 10
/** Records, arrays and maps within each other. */
const DEPTH_MAX = 100
const EMPTY_ITEMS_MAX = 1_000
const PROTO = Buffer.from('__proto__')

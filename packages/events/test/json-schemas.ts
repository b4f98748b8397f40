import fc from 'fast-check'

/** JSON schemas, changed ones, and data, for properties of the compatibility check. */

type Json = Record<string, unknown>

const NAMES = ['a', 'b', 'kind', 'title']
const SCALARS = [null, true, false, 0, 1, 2, 5, 2.5, -3, '', 'x', 'ab', 'abc', '2026-05-01']
const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object']

const small = fc.integer({ min: 0, max: 4 })
const scalar = fc.constantFrom(...SCALARS)
const name = fc.constantFrom(...NAMES)
const type = fc.constantFrom(...TYPES)

const numbers: fc.Arbitrary<unknown> = fc
  .record(
    {
      type: fc.constantFrom('integer', 'number'),
      minimum: small,
      exclusiveMinimum: small,
      maximum: small,
      exclusiveMaximum: small,
      multipleOf: fc.constantFrom(1, 2, 4, 0.5),
    },
    { requiredKeys: ['type'] },
  )
  .map((made): unknown => made)

const strings: fc.Arbitrary<unknown> = fc
  .record(
    {
      type: fc.constant('string'),
      minLength: small,
      maxLength: small,
      pattern: fc.constantFrom('^a', 'b$', '^x'),
      format: fc.constantFrom('date', 'email'),
    },
    { requiredKeys: ['type'] },
  )
  .map((made): unknown => made)

export const schemas: fc.Arbitrary<unknown> = fc
  .tuple(schemaOf(3), schemaOf(2), schemaOf(1))
  .map(([top, one, two]) => (typeof top === 'boolean' ? top : { ...(top as Json), $defs: { one, two } }))

/** An open object, and the same with a member or two more that need not be there. */
export const grown: fc.Arbitrary<[unknown, unknown]> = fc
  .tuple(fc.dictionary(name, schemaOf(1)), fc.dictionary(name, schemaOf(1), { minKeys: 1, maxKeys: 2 }))
  .map(([properties, more]) => [
    { type: 'object', properties },
    { type: 'object', properties: { ...more, ...properties } },
  ])

/** Data that is near to what the schemas above ask for. */
export const data: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 5, arbitrary: scalar },
    { weight: 2, arbitrary: fc.array(tie('value'), { maxLength: 4 }) },
    { weight: 5, arbitrary: fc.dictionary(fc.oneof(name, fc.constant('zz')), tie('value'), { maxKeys: 4 }) },
  ),
})).value

/** The same schema with a change or two: mostly what people do, sometimes anything. */
export function changed(schema: unknown): fc.Arbitrary<unknown> {
  return fc
    .array(fc.record({ at: fc.nat(1000), how: fc.nat(9), by: schemaOf(1), number: small, key: name }), {
      minLength: 1,
      maxLength: 2,
    })
    .map((changes) => changes.reduce((made, change) => changeAt(made, change), structuredClone(schema)))
}

interface Change {
  readonly at: number
  readonly how: number
  readonly by: unknown
  readonly number: number
  readonly key: string
}

function schemaOf(depth: number): fc.Arbitrary<unknown> {
  const leaves = [
    { weight: 1, arbitrary: fc.constantFrom<unknown>(true, {}, false) },
    { weight: 3, arbitrary: type.map((one): unknown => ({ type: one })) },
    { weight: 1, arbitrary: fc.tuple(type, type).map(([a, b]): unknown => ({ type: a === b ? [a] : [a, b] })) },
    {
      weight: 1,
      arbitrary: type.map((one): unknown => ({ type: one, nullable: true })),
    },
    {
      weight: 2,
      arbitrary: fc.uniqueArray(scalar, { minLength: 1, maxLength: 3 }).map((list): unknown => ({ enum: list })),
    },
    { weight: 2, arbitrary: scalar.map((value): unknown => ({ const: value })) },
    { weight: 3, arbitrary: numbers },
    { weight: 3, arbitrary: strings },
    { weight: 1, arbitrary: fc.constantFrom<unknown>({ $ref: '#/$defs/one' }, { $ref: '#/$defs/two' }) },
  ]
  if (depth === 0) return fc.oneof(...leaves)
  const inner = schemaOf(depth - 1)
  const inners = fc.array(inner, { minLength: 1, maxLength: 3 })
  return fc.oneof(
    ...leaves,
    { weight: 10, arbitrary: objects(inner) },
    { weight: 4, arbitrary: arrays(inner) },
    { weight: 2, arbitrary: inners.map((anyOf): unknown => ({ anyOf })) },
    { weight: 2, arbitrary: inners.map((oneOf): unknown => ({ oneOf })) },
    { weight: 2, arbitrary: inners.map((allOf): unknown => ({ allOf })) },
    { weight: 1, arbitrary: inner.map((not): unknown => ({ not })) },
    { weight: 1, arbitrary: discriminated(inner) },
    {
      weight: 1,
      arbitrary: fc.record({ if: inner, then: inner, else: inner }, { requiredKeys: ['if'] }) as fc.Arbitrary<unknown>,
    },
    {
      weight: 1,
      arbitrary: fc.tuple(objects(inner), inner).map(([one, ref]): unknown => ({ ...(one as Json), allOf: [ref] })),
    },
  )
}

function objects(inner: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .record(
      {
        type: fc.constant('object'),
        properties: fc.dictionary(name, inner, { maxKeys: 3 }),
        required: fc.uniqueArray(name, { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.constant<unknown>(false), inner),
        patternProperties: fc.dictionary(fc.constantFrom('^k', '^[ab]'), inner, { minKeys: 1, maxKeys: 2 }),
        minProperties: small,
        maxProperties: small,
        propertyNames: fc.constantFrom<unknown>({ maxLength: 1 }, { enum: ['a', 'b', 'kind'] }),
        dependentRequired: fc.dictionary(name, fc.uniqueArray(name, { minLength: 1, maxLength: 2 }), { maxKeys: 1 }),
        dependentSchemas: fc.dictionary(name, inner, { maxKeys: 1 }),
        unevaluatedProperties: fc.constantFrom<unknown>(false, { type: 'string' }),
      },
      { requiredKeys: ['type', 'properties'] },
    )
    .chain((made) => thinned(made, ['type', 'properties', 'required', 'additionalProperties']))
}

function arrays(inner: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .record(
      {
        type: fc.constant('array'),
        items: fc.oneof(fc.constant<unknown>(false), inner),
        prefixItems: fc.array(inner, { minLength: 1, maxLength: 2 }),
        minItems: small,
        maxItems: small,
        uniqueItems: fc.boolean(),
        contains: inner,
        minContains: small,
        maxContains: small,
      },
      { requiredKeys: ['type', 'items'] },
    )
    .chain((made) => thinned(made, ['type', 'items']))
}

/** Keywords that are rare in life are rare here. */
function thinned(made: object, common: readonly string[]): fc.Arbitrary<unknown> {
  const rare = Object.keys(made).filter((keyword) => !common.includes(keyword))
  return fc.subarray(rare, { maxLength: Math.min(1, rare.length) }).map((kept) => {
    const words = [...common, ...kept]
    return Object.fromEntries(Object.entries(made).filter(([keyword]) => words.includes(keyword)))
  })
}

function discriminated(inner: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const option = (kind: string) =>
    inner.map((a): unknown => ({ type: 'object', required: ['kind'], properties: { kind: { const: kind }, a } }))
  return fc
    .tuple(option('x'), option('ab'), fc.constantFrom('oneOf', 'anyOf'))
    .map(([one, other, choice]): unknown => ({ [choice]: [one, other] }))
}

function changeAt(schema: unknown, { at, how, by, number, key }: Change): unknown {
  const places = objectsIn(schema)
  const place = places[at % Math.max(1, places.length)]
  if (place === undefined) return by
  const properties = (place.properties ?? {}) as Json
  if (how === 0) place.properties = { ...properties, [key]: by }
  else if (how === 1) place.required = [...new Set([...((place.required as string[]) ?? []), key])]
  else if (how === 2) delete place.required
  else if (how === 3) delete place[Object.keys(place)[number % Object.keys(place).length] ?? 'type']
  else if (how === 4) place.additionalProperties = number > 2 ? by : number > 1
  else if (how === 5) widen(place, 1)
  else if (how === 6) widen(place, -1)
  else if (how === 7 && Array.isArray(place.enum)) place.enum = [...new Set([...(place.enum as unknown[]), number])]
  else if (how === 8 && Array.isArray(place.anyOf)) place.anyOf = [...(place.anyOf as unknown[]), by]
  else if (how === 8 && Array.isArray(place.oneOf)) place.oneOf = [...(place.oneOf as unknown[]), by]
  else if (typeof place.type === 'string') place.type = [...new Set([place.type, TYPES[number]])]
  return schema
}

function widen(place: Json, by: 1 | -1): void {
  for (const keyword of ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']) {
    if (typeof place[keyword] === 'number') place[keyword] = Math.max(0, place[keyword] + by)
  }
  for (const keyword of ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']) {
    if (typeof place[keyword] === 'number') place[keyword] = Math.max(0, place[keyword] - by)
  }
}

function objectsIn(schema: unknown): Json[] {
  if (Array.isArray(schema)) return schema.flatMap(objectsIn)
  if (typeof schema !== 'object' || schema === null) return []
  const maps = ['properties', 'patternProperties', 'dependentSchemas', '$defs']
  const below = Object.entries(schema).flatMap(([keyword, value]) => {
    if (keyword === 'enum' || keyword === 'const' || keyword === 'dependentRequired') return []
    return maps.includes(keyword) ? Object.values(value as object).flatMap(objectsIn) : objectsIn(value)
  })
  return [schema as Json, ...below]
}

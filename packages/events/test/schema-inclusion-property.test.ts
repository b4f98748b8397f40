import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import fc from 'fast-check'
import { schemaRoot } from '../src/compatibility/branches.ts'
import { inclusionProblems } from '../src/compatibility/inclusion.ts'
import { changed, data, grown, schemas } from './json-schemas.ts'

const RUNS = process.env.E2E_LONG === '1' ? 5_000 : 250
const VALUES = 40

const ajv = new Ajv2020({ strict: false, logger: false })
formats.default(ajv)

const pairs = schemas.chain((writer) => fc.tuple(fc.constant(writer), fc.oneof(changed(writer), schemas)))

test('where the check finds no problem, whatever meets the schema of the writer meets that of the reader', (context) => {
  const seen = { pairs: 0, compatible: 0, certain: 0, values: 0, refuted: 0 }
  const values = fc.sample(data, { numRuns: 4_000, seed: 7 })
  let turn = 0
  fc.assert(
    fc.property(pairs, ([writer, reader]) => {
      const written = validator(writer)
      const read = validator(reader)
      if (written === null || read === null) return
      seen.pairs += 1
      const problems = inclusionProblems(
        { schema: reader, root: schemaRoot(reader) },
        { schema: writer, root: schemaRoot(writer) },
      )
      const valid: unknown[] = []
      for (let tries = 0; tries < values.length / 10 && valid.length < VALUES; tries++) {
        const value = values[turn++ % values.length]
        if (written(value)) valid.push(value)
      }
      const refused = valid.filter((value) => !read(value))
      if (problems.length > 0) {
        if (problems.some(({ isCertain }) => isCertain)) seen.certain += 1
        if (refused.length > 0) seen.refuted += 1
        return
      }
      seen.compatible += 1
      seen.values += valid.length
      assert.deepEqual(refused, [], `${JSON.stringify(writer)} → ${JSON.stringify(reader)}`)
    }),
    { numRuns: RUNS, endOnFailure: false },
  )
  // Not for nothing: many pairs are compatible, many are not, and much data went through.
  assert.ok(seen.compatible > seen.pairs / 10, JSON.stringify(seen))
  assert.ok(seen.refuted > seen.pairs / 20, JSON.stringify(seen))
  assert.ok(seen.values > seen.compatible * 5, JSON.stringify(seen))
  context.diagnostic(JSON.stringify(seen))
})

test('where writers send only what their schema names, the same holds of such data', (context) => {
  const seen = { pairs: 0, compatible: 0, onlyThen: 0, values: 0 }
  const values = fc.sample(data, { numRuns: 1_500, seed: 11 })
  fc.assert(
    fc.property(plainPairs, ([writer, reader]) => {
      const [named, written, read] = [validator(closed(writer)), validator(writer), validator(reader)]
      if (named === null || written === null || read === null) return
      seen.pairs += 1
      const sides = [
        { schema: reader, root: schemaRoot(reader) },
        { schema: writer, root: schemaRoot(writer) },
      ] as const
      if (inclusionProblems(...sides, { namedOnly: true }).length > 0) return
      seen.compatible += 1
      if (inclusionProblems(...sides).length > 0) seen.onlyThen += 1
      // Both: a branch of oneOf that is closed lets pass what two branches would have met.
      const valid = values.filter((value) => named(value) && written(value))
      seen.values += valid.length
      assert.deepEqual(
        valid.filter((value) => !read(value)),
        [],
        `${JSON.stringify(writer)} → ${JSON.stringify(reader)}`,
      )
    }),
    { numRuns: RUNS / 2, endOnFailure: false },
  )
  assert.ok(seen.compatible > seen.pairs / 10, JSON.stringify(seen))
  assert.ok(seen.onlyThen > seen.compatible / 10, JSON.stringify(seen))
  context.diagnostic(JSON.stringify(seen))
})

/** Without words that put two schemas on one value: there, what a schema names is not to be seen in it alone. */
const plainPairs = fc
  .oneof(grown, pairs)
  .filter(
    ([writer]) =>
      typeof writer === 'object' && !/"(allOf|if|not|\$ref|dependentSchemas)":/.test(textWithoutDefs(writer)),
  )

function textWithoutDefs(schema: unknown): string {
  return JSON.stringify({ ...(schema as object), $defs: undefined })
}

/** What `namedOnly` takes a schema for. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const made = Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => [keyword, DATA.has(keyword) ? value : closed(value)]),
  )
  const isOpen = isMap(made.properties) && made.additionalProperties === undefined
  return isOpen ? { ...made, additionalProperties: false } : made
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

const DATA = new Set(['enum', 'const', 'required', 'dependentRequired', '$defs'])

/** As `jsonSchema` checks data; one Ajv for all, as making one takes long. */
function validator(schema: unknown): ((value: unknown) => boolean) | null {
  try {
    const check = ajv.compile(schema as object) as (value: unknown) => boolean
    return (value) => {
      try {
        return check(value)
      } catch {
        // A schema that leads to itself before it looks at the value takes none.
        return false
      }
    }
  } catch {
    return null
  }
}

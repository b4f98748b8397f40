import assert from 'node:assert/strict'
import { test } from 'node:test'
import avro from 'avsc'
import fc from 'fast-check'
import { avroProblems } from '../src/compatibility/avro-inclusion.ts'
import { avroSchema } from '../src/schemas/avro-schema.ts'

const RUNS = process.env.E2E_LONG === '1' ? 5_000 : 400

test('where the rules of Avro find no problem, the reader reads whatever the writer writes', (context) => {
  const seen = { pairs: 0, compatible: 0, values: 0 }
  fc.assert(
    fc.property(records, records, (writer, reader) => {
      const [written, read] = [JSON.stringify(writer), JSON.stringify(reader)]
      seen.pairs += 1
      if (avroProblems({ text: read }, { text: written }).length > 0) return
      seen.compatible += 1
      const type = avro.Type.forSchema(writer as never)
      const decode = avroSchema({ text: read }).decoderOf!({ text: written })
      for (let count = 0; count < 10; count++) {
        decode(type.toBuffer(type.random()))
        seen.values += 1
      }
    }),
    { numRuns: RUNS, endOnFailure: false },
  )
  assert.ok(seen.compatible > seen.pairs / 10 && seen.compatible < seen.pairs, JSON.stringify(seen))
  context.diagnostic(JSON.stringify(seen))
})

const primitive = fc.constantFrom('int', 'float', 'double', 'string', 'bytes', 'boolean')
const symbols = fc.uniqueArray(fc.constantFrom('X', 'Y', 'Z'), { minLength: 1 })
const types: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 5, arbitrary: primitive },
  { weight: 1, arbitrary: primitive.map((type): unknown => ['null', type]) },
  { weight: 1, arbitrary: primitive.map((items): unknown => ({ type: 'array', items })) },
  { weight: 1, arbitrary: primitive.map((values): unknown => ({ type: 'map', values })) },
)

/** Of three members at most, some with a default. */
const records = fc
  .record({
    a: fc.option(types),
    b: fc.option(symbols),
    c: fc.option(fc.boolean()),
  })
  .map(({ a, b, c }) => ({
    type: 'record',
    name: 'Event',
    fields: [
      ...(a === null ? [] : [{ name: 'a', type: a }]),
      ...(b === null ? [] : [{ name: 'b', type: { type: 'enum', name: 'Kind', symbols: b } }]),
      ...(c === null ? [] : [{ name: 'c', type: ['null', 'string'], ...(c ? { default: null } : {}) }]),
    ],
  }))

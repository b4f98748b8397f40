import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Output } from '../../task.ts'
import { type ContractPlace, entries, type Fact, note, succeeded, TOPIC } from './contract-place.ts'
import { OutputModel } from './output-model.ts'
import { openOutputs, PLAIN_OUTPUT, read, shown } from './output-place.ts'

export function outputHistoryTests(place: () => ContractPlace): void {
  test('any lane, read in any batches with repetitions, leaves what the pure rule leaves', async () => {
    const { store, outputs } = await openOutputs(place())
    const readings = fc.array(fc.record({ from: fc.nat(40), length: fc.nat(12) }), { maxLength: 16 })
    let partition = 0
    let kept = 0
    let restarted = 0
    await fc.assert(
      fc.asyncProperty(fc.array(wordArbitrary, { minLength: 1, maxLength: 60 }), readings, async (words, cuts) => {
        partition += 1
        const facts = lane(`${partition}`, words)
        let position = 0
        for (const { from, length } of [...cuts, { from: 0, length: facts.length }]) {
          const first = Math.min(from, position)
          const next = Math.min(Math.max(first, position) + length, facts.length)
          await store.apply({
            topic: TOPIC,
            partition,
            from: position === 0 ? null : first,
            next,
            entries: entries(first, ...facts.slice(first, next)),
          })
          position = Math.max(position, next)
        }
        const model = new OutputModel()
        for (const [offset, fact] of facts.entries()) model.take(offset, fact)
        for (const taskId of new Set(facts.map((one) => one.taskId))) {
          const found = await read(outputs, taskId)
          const expected = model.read(taskId)
          assert.deepEqual(found && { ...found, outputs: found.outputs.map(shown) }, expected)
          if (expected !== null && expected.outputs.length > 1) kept += 1
          if (expected !== null && expected.beganAt > 5) restarted += 1
        }
      }),
      { numRuns: 300 },
    )
    assert.ok(kept > 30 && restarted > 30, 'lanes on which nothing counts prove nothing')
    await store.close()
  })
}

/** What somebody puts on the lane next: one of a few runs goes on, or says something again, or the task moves. */
type Word =
  | { readonly kind: 'chunk' | 'progress' | 'again' | 'from-start'; readonly task: number; readonly run: number }
  | {
      readonly kind: 'raw'
      readonly task: number
      readonly run: number
      readonly chunks: number
      readonly first: boolean
    }
  | { readonly kind: 'note' | 'result'; readonly task: number; readonly generation: number }

const task = fc.nat(1)
const run = fc.nat(3)
const wordArbitrary: fc.Arbitrary<Word> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('chunk' as const), task, run }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('progress' as const), task, run }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('again' as const, 'from-start' as const), task, run }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('raw' as const), task, run, chunks: fc.nat(4), first: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('note' as const, 'result' as const), task, generation: fc.nat(1) }),
  },
)

/** Runs 0 and 1 are of the task's first life, 2 and 3 of its second. */
function lane(prefix: string, words: readonly Word[]): readonly Fact[] {
  const facts: Fact[] = []
  const runs = new Map<string, Output[]>()
  for (const word of words) {
    const taskId = `${prefix}-${word.task}`
    if ('generation' in word) {
      const fact = word.kind === 'note' ? note(taskId, 'running', 1) : succeeded(taskId, 'x')
      facts.push({ ...fact, generation: word.generation })
    } else facts.push(...say(runs, taskId, word, facts.length))
  }
  return facts
}

function say(
  runs: Map<string, Output[]>,
  taskId: string,
  word: Extract<Word, { readonly run: number }>,
  offset: number,
): readonly Output[] {
  const name = `${taskId} ${word.run}`
  const before = runs.get(name) ?? []
  runs.set(name, before)
  const common = {
    ...PLAIN_OUTPUT,
    taskId,
    run: `${word.run}`.repeat(16),
    attempts: word.run + 1,
    generation: word.run < 2 ? 0 : 1,
  }
  if (word.kind === 'raw') {
    const content = { kind: 'chunk', payload: Buffer.from(`raw ${offset}`), contentType: 'text/plain' } as const
    return [{ ...common, chunks: word.chunks, first: word.first, content }]
  }
  if (word.kind === 'again') return before.slice(-1)
  if (word.kind === 'from-start') return before.slice(0, 3)
  const first = before.length === 0
  const chunks = before.at(-1)?.chunks ?? 0
  const output: Output =
    word.kind === 'progress'
      ? { ...common, first, chunks, content: { kind: 'progress', fraction: null, message: `at ${offset}` } }
      : {
          ...common,
          first,
          chunks: chunks + 1,
          content: { kind: 'chunk', payload: Buffer.from(`said ${offset}`), contentType: 'text/plain' },
        }
  before.push(output)
  return [output]
}

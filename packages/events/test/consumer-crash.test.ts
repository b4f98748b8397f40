import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedBroker } from '@forebay/broker/embedded'
import { createProducer } from '../src/producer.ts'
import { until } from './event-rig.ts'
import { verified } from './some-events.ts'

test('consumers that are killed lose nothing: every event comes to its end, and the keys keep their order', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-events-'))
  const journal = join(dir, 'journal')
  writeFileSync(journal, '')
  const count = 400
  {
    await using producer = await createProducer({
      broker: embeddedBroker({ dir }),
      source: '/s',
      events: [verified],
      partitions: 2,
    })
    const each = Array.from({ length: count }, (_, index) => ({ data: { userId: `u${index % 7}` }, id: `e-${index}` }))
    await Promise.all(each.map((event) => producer.publish(verified, event)))
  }
  const ended = () =>
    new Set(
      linesOf(journal)
        .filter(({ what }) => what === 'end')
        .map(({ id }) => id),
    ).size
  for (let kills = 0; ended() < count; kills++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'crashing-consumer.ts'), dir, journal])
    child.stderr.pipe(process.stderr)
    const exited = once(child, 'exit')
    // A few are done by each, so that there is much left to come again.
    const enough = kills < 3 ? Math.min(count, ended() + 60) : count
    await until(() => ended() >= enough)
    child.kill('SIGKILL')
    await exited
  }
  const firstEnd = new Map<string, number>()
  const lines = linesOf(journal)
  for (const [index, { what, id }] of lines.entries()) if (what === 'end' && !firstEnd.has(id)) firstEnd.set(id, index)
  assert.equal(firstEnd.size, count)
  // No event begins before all that lie before it under its key have ended once.
  const byKey = Map.groupBy(
    lines.filter(({ what }) => what === 'begin'),
    ({ key }) => key,
  )
  for (const begins of byKey.values()) {
    const inOrder = [...new Map(begins.map((one) => [one.id, one])).values()].toSorted((a, b) => a.offset - b.offset)
    for (const [at, { id }] of inOrder.entries()) {
      const before = inOrder[at - 1]
      if (before !== undefined) assert.ok(firstEnd.get(before.id)! < firstEnd.get(id)!)
    }
  }
  assert.ok(lines.length >= 2 * count)
  rmSync(dir, { recursive: true })
})

function linesOf(journal: string) {
  const lines = readFileSync(journal, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [what, key, offset, id] = line.split(' ') as [string, string, string, string]
    return { what, key, offset: Number(offset), id }
  })
}

import assert from 'node:assert/strict'
import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import type { Loss } from '../src/dropped.ts'
import { readPosition, sequenceHeader, sourceHeader } from '../src/source-position.ts'
import { Spool, type SpoolOptions } from '../src/spool/spool.ts'
import { clock, temporaryFolder } from './edge-rig.ts'

const SOURCE = sourceHeader('lua', 'e1')

function rows(from: number, count: number, bytes = 20): RecordToPublish[] {
  return Array.from({ length: count }, (_, index) => {
    const first = (from + index) * 10
    const value = Buffer.from(`{"v":1,"kind":"access","n":${from + index}}`.padEnd(bytes))
    return { topic: 'rows', key: Buffer.from('lua'), value, headers: [SOURCE, sequenceHeader(first, first + 10)] }
  })
}

function openSpool(dir: string, more: Partial<SpoolOptions> = {}): Promise<Spool> {
  const given = { dir, bytesMax: 10_000_000, whenFull: 'refuse', topic: 'rows', source: 'c:spool', clock } as const
  return Spool.open({ ...given, onDropped() {}, ...more })
}

async function takeAll(spool: Spool, ship = true): Promise<RecordToPublish[]> {
  const found: RecordToPublish[] = []
  for (let taken = await spool.take(1_000); taken !== null; taken = await spool.take(1_000)) {
    found.push(...taken.records)
    if (ship) await spool.shipped(taken.end)
  }
  return found
}

const firsts = (records: readonly RecordToPublish[]) => records.map((record) => readPosition(record)!.first / 10)
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)
const fileOf = (dir: string) => {
  const name = readdirSync(dir)
    .filter((one) => one.endsWith('.spool') && statSync(join(dir, one)).size > 0)
    .at(-1)!
  return join(dir, name)
}

test('what was appended comes out in order, and what was shipped does not come again', async () => {
  using folder = temporaryFolder()
  const spool = await openSpool(folder.path, { segmentBytes: 2_000 })
  for (let at = 0; at < 100; at += 5) assert.equal(await spool.append('rows', rows(at, 5), at % 2 === 0), 'kept')
  const taken = (await spool.take(1))!
  const count = taken.records.length
  assert.deepEqual(firsts(taken.records), upTo(count))
  await spool.shipped(taken.end)
  assert.deepEqual(firsts(await takeAll(spool, false)), upTo(100).slice(count))
  await spool.close()
  const again = await openSpool(folder.path)
  assert.equal(again.isEmpty, false)
  assert.deepEqual(firsts(await takeAll(again)), upTo(100).slice(count))
  assert.equal(again.isEmpty, true)
  await again.close()
  assert.equal(readdirSync(folder.path).filter((name) => name.endsWith('.spool')).length, 1)
})

test('a torn end is cut off with a row that says so; everything before it is there', async () => {
  using folder = temporaryFolder()
  const spool = await openSpool(folder.path)
  await spool.append('rows', rows(0, 3), true)
  await spool.append('rows', rows(3, 3), true)
  await spool.close()
  const file = fileOf(folder.path)
  truncateSync(file, statSync(file).size - 7)
  const losses: Loss[] = []
  const again = await openSpool(folder.path, { onDropped: (loss) => losses.push(loss) })
  const found = await takeAll(again)
  assert.deepEqual(firsts(found.slice(0, 3)), upTo(3))
  assert.equal(losses[0]?.reason, 'spool-torn')
  assert.match(Buffer.from(found[3]!.value).toString(), /"kind":"dropped".*"reason":"spool-torn","source":"c:spool"/)
  assert.equal(found.length, 4)
  await again.append('rows', rows(9, 1), true)
  assert.deepEqual(firsts(await takeAll(again)), [9])
  await again.close()
})

test('a spool that refuses when it is full keeps what it has', async () => {
  using folder = temporaryFolder()
  const spool = await openSpool(folder.path, { bytesMax: 3_000, segmentBytes: 1_000 })
  let kept = 0
  while ((await spool.append('rows', rows(kept, 1), true)) === 'kept') kept++
  assert.ok(kept > 10 && kept < 60, String(kept))
  assert.deepEqual(firsts(await takeAll(spool)), upTo(kept))
  assert.equal(await spool.append('rows', rows(kept, 1), true), 'kept')
  await spool.close()
})

test('where the oldest gives way, rows say what was lost, and nothing else is', async () => {
  using folder = temporaryFolder()
  const losses: Loss[] = []
  const onDropped = (loss: Loss) => losses.push(loss)
  const options = { bytesMax: 8_000, segmentBytes: 1_000, whenFull: 'drop-oldest', onDropped } as const
  const spool = await openSpool(folder.path, options)
  for (let at = 0; at < 200; at++) assert.equal(await spool.append('rows', rows(at, 1), true), 'kept')
  const found = await takeAll(spool)
  const here = new Set(found.filter((one) => !isDropped(one)).map((one) => readPosition(one)!.first / 10))
  const lost = new Set(losses.flatMap(({ first, end }) => upTo(200).filter((n) => n * 10 >= first && n * 10 < end!)))
  for (const n of upTo(200)) assert.ok(here.has(n) !== lost.has(n), `${n} is neither here nor said to be lost, or both`)
  assert.equal(
    losses.reduce((sum, { lines }) => sum + lines!, 0),
    lost.size,
  )
  const told = found.filter(isDropped).map((one) => JSON.parse(Buffer.from(one.value).toString()))
  for (const loss of losses) assert.ok(told.some((row) => row.first <= loss.first && row.end >= loss.end!))
  assert.ok(lost.has(0) && here.has(199))
  await spool.close()
})

test('whatever is cut, damaged and shipped, no row that was kept before the damage is lost, and none is made up', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 9 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('ship' as const), bytes: fc.integer({ min: 1, max: 3_000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('tear' as const), bytes: fc.integer({ min: 1, max: 40 }) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      using folder = temporaryFolder()
      let spool = await openSpool(folder.path, { segmentBytes: 1_500 })
      const kept = new Set<number>()
      const shipped: number[] = []
      let next = 0
      const ship = async (bytes: number) => {
        const taken = await spool.take(bytes)
        if (taken === null) return false
        shipped.push(...firsts(taken.records.filter((one) => !isDropped(one))))
        await spool.shipped(taken.end)
        return true
      }
      for (const one of steps) {
        if (one.do === 'append') {
          assert.equal(await spool.append('rows', rows(next, one.count), true), 'kept')
          for (let n = next; n < next + one.count; n++) kept.add(n)
          next += one.count
        } else if (one.do === 'ship') await ship(one.bytes)
        else {
          await spool.close()
          // What a power loss leaves of an append that nobody was told of.
          if (one.do === 'tear') appendFileSync(newest(folder.path), Buffer.alloc(one.bytes, one.bytes))
          spool = await openSpool(folder.path, { segmentBytes: 1_500 })
        }
      }
      while (await ship(1_000)) {}
      await spool.close()
      assert.deepEqual(
        [...new Set(shipped)].sort((a, b) => a - b),
        [...kept],
      )
    }),
    { numRuns: 60 },
  )
})

test('a byte that has changed on the disk is noticed, and the frames before it stay', async () => {
  using folder = temporaryFolder()
  const spool = await openSpool(folder.path)
  for (let at = 0; at < 4; at++) await spool.append('rows', rows(at, 1), true)
  await spool.close()
  const file = fileOf(folder.path)
  const content = readFileSync(file)
  content[Math.floor(content.length * 0.6)]! ^= 1
  writeFileSync(file, content)
  const again = await openSpool(folder.path)
  const found = await takeAll(again)
  assert.deepEqual(firsts(found.filter((one) => !isDropped(one))), [0, 1])
  assert.equal(found.filter(isDropped).length, 1)
  await again.close()
})

function isDropped({ value }: RecordToPublish): boolean {
  return Buffer.from(value).includes('"kind":"dropped"')
}

function newest(dir: string): string {
  return join(
    dir,
    readdirSync(dir)
      .filter((name) => name.endsWith('.spool'))
      .sort()
      .at(-1)!,
  )
}

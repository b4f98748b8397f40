import assert from 'node:assert/strict'
import { appendFileSync, copyFileSync, mkdirSync, renameSync, rmdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { readPosition } from '../src/source-position.ts'
import { accessLine, clock, temporaryFolder } from './edge-rig.ts'
import { existsPositions, Taken, tail, until } from './tail-rig.ts'

test('whatever is written, renamed, removed when read, and killed: every line is there and once by its place', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('half' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('rotate' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('away' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 150 }) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      using folder = temporaryFolder()
      const path = join(folder.path, 'a.log')
      const log = new Taken()
      let running = await tail(folder.path, log, { rotatedQuietMs: 400 })
      await until(() => existsPositions(folder.path))
      const written: string[] = []
      let begun = ''
      let rotations = 0
      const write = (line: string) => {
        appendFileSync(path, `${line.slice(begun.length)}\n`)
        written.push((JSON.parse(line) as { requestId: string }).requestId)
        begun = ''
      }
      let line = accessLine()
      for (const one of steps) {
        if (one.do === 'write') {
          for (let index = 0; index < one.lines; index++) {
            write(line)
            line = accessLine()
          }
        } else if (one.do === 'half' && begun === '') {
          begun = line.slice(0, 120)
          appendFileSync(path, begun)
        } else if (one.do === 'rotate' && begun === '') {
          appendFileSync(path, '')
          renameSync(path, `${path}.${++rotations}`)
        } else if (one.do === 'restart') {
          await running.kill()
          running = await tail(folder.path, log, { rotatedQuietMs: 400 })
        } else if (one.do === 'away') log.away = !log.away
        else if (one.do === 'wait') await clock.sleep(one.ms)
      }
      log.away = false
      if (begun !== '') write(line)
      await until(
        () => new Set(log.ids()).size >= written.length,
        () => `${log.ids().length} of ${written.length}`,
      )
      await running.stop()
      assert.deepEqual(log.ids().sort(), [...written].sort())
      assert.deepEqual(
        log.rows().filter((row) => row.kind !== 'access'),
        [],
      )
    }),
    { numRuns: process.env.E2E_LONG === '1' ? 300 : 12, endOnFailure: true },
  )
})

test('a file that is cut goes on in a new epoch, and a row says that lines may be lost', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  appendFileSync(path, `${accessLine()}\n${accessLine()}\n`)
  const running = await tail(folder.path, log)
  await until(() => log.records.length === 2)
  copyFileSync(path, `${path}.1`)
  truncateSync(path)
  appendFileSync(path, `${accessLine({ host: 'after' })}\n`)
  await until(() => log.records.length === 4)
  const [, , dropped, after] = log.rows()
  assert.ok(dropped?.kind === 'dropped' && dropped.reason === 'file-gone' && dropped.lines === null)
  assert.ok(after?.kind === 'access' && after.host === 'after')
  assert.equal(readPosition(log.records[3]!)!.first, 0)
  await running.stop()
})

/** A run of the tail has read one line, and is over. */
async function afterOneLine(folder: string): Promise<{ readonly path: string; readonly log: Taken }> {
  const path = join(folder, 'a.log')
  const log = new Taken()
  appendFileSync(path, `${accessLine()}\n`)
  const first = await tail(folder, log)
  await until(() => log.records.length === 1)
  await first.stop()
  return { path, log }
}

test('a file that was removed before it was read to its end gets a row that says from where on', async () => {
  using folder = temporaryFolder()
  const { path, log } = await afterOneLine(folder.path)
  const { end } = readPosition(log.records[0]!)!
  appendFileSync(path, `${accessLine()}\n`)
  rmSync(path)
  const second = await tail(folder.path, log)
  await until(() => log.records.length === 2)
  const dropped = log.rows()[1]
  assert.ok(dropped?.kind === 'dropped' && dropped.reason === 'file-gone' && dropped.first === end)
  await second.stop()
})

test('looks that fail after a start tell no loss again, and what comes then is followed', async () => {
  using folder = temporaryFolder()
  const { path, log } = await afterOneLine(folder.path)
  appendFileSync(path, `${accessLine()}\n`)
  rmSync(path)
  // Another file at the path: its position cannot be saved for a while.
  appendFileSync(path, `${accessLine()}\n`)
  const inTheWay = join(folder.path, 'positions.json.new')
  mkdirSync(inTheWay)
  let troubles = 0
  await using second = await tail(folder.path, log, {}, () => troubles++)
  await until(() => troubles === 1)
  // Some more of them.
  await clock.sleep(350)
  assert.equal(log.ids().length, 1)
  rmdirSync(inTheWay)
  await until(() => log.ids().length === 2)
  await second.stop()
  assert.deepEqual(
    log.rows().map(({ kind }) => kind),
    ['access', 'dropped', 'access'],
  )
})

test('while the log takes nothing the file is not read on, and nothing is held in memory', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  log.away = true
  const line = `${accessLine()}\n`
  appendFileSync(path, line.repeat(Math.ceil((6 * 1024 * 1024) / line.length)))
  const running = await tail(folder.path, log)
  await clock.sleep(300)
  const before = process.memoryUsage().arrayBuffers
  await clock.sleep(300)
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024)
  log.away = false
  await until(() => log.records.length === Math.ceil((6 * 1024 * 1024) / line.length))
  await running.stop()
})

import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { readPosition } from '../src/source-position.ts'
import { accessLine, clock, temporaryFolder } from './edge-rig.ts'
import { Taken, tail, until } from './tail-rig.ts'

const QUICK = { rotatedQuietMs: 200 }

/** As gzip and zstd do it: a new file with the old one's time, which then goes. */
function pack(path: string, ending: 'gz' | 'zst' = 'gz', to = `${path}.${ending}`): void {
  const { atime, mtime } = statSync(path)
  const bytes = readFileSync(path)
  writeFileSync(to, ending === 'gz' ? gzipSync(bytes) : zstdCompressSync(bytes))
  utimesSync(to, atime, mtime)
  rmSync(path)
}

function write(path: string, count: number): string[] {
  const lines = Array.from({ length: count }, () => accessLine())
  appendFileSync(path, lines.map((line) => `${line}\n`).join(''))
  return lines.map((line) => (JSON.parse(line) as { requestId: string }).requestId)
}

for (const ending of ['gz', 'zst'] as const) {
  test(`what was rotated and packed as .${ending} while nobody read it is read on from where it was, and what was never seen from its begin`, async () => {
    using folder = temporaryFolder()
    const path = join(folder.path, 'a.log')
    const log = new Taken()
    const written = write(path, 20)
    const first = await tail(folder.path, log)
    await until(() => log.records.length === 20)
    await first.stop()
    const { epoch, end } = readPosition(log.records.at(-1)!)!

    written.push(...write(path, 30))
    renameSync(path, `${path}.2`)
    pack(`${path}.2`, ending)
    written.push(...write(path, 40))
    renameSync(path, `${path}.1`)
    pack(`${path}.1`, ending)
    written.push(...write(path, 10))
    const second = await tail(folder.path, log, QUICK)
    await until(() => log.ids().length === 100)
    await second.stop()
    assert.deepEqual(log.records.length, 100, 'nothing came again')
    assert.deepEqual(log.ids(), written, 'oldest first')
    const after = readPosition(log.records[20]!)!
    assert.deepEqual([after.epoch, after.first], [epoch, end], 'the same epoch')
    assert.deepEqual(
      log.rows().filter((row) => row.kind !== 'access'),
      [],
    )
  })
}

test('an archive of what was read before is not read again, not even while the file is still beside it', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  write(path, 20)
  const first = await tail(folder.path, log, QUICK)
  await until(() => log.records.length === 20)
  renameSync(path, `${path}.1`)
  write(path, 5)
  await until(() => log.records.length === 25)
  await until(() => readFileSync(join(folder.path, 'positions.json'), 'utf8').includes('"done":true'))
  await first.stop()
  const packed = gzipSync(readFileSync(`${path}.1`))
  writeFileSync(`${path}.1.gz`, packed)
  const during = await tail(folder.path, log, QUICK)
  write(path, 5)
  await until(() => log.records.length === 30)
  await during.stop()
  rmSync(`${path}.1`)
  writeFileSync(`${path}.1.gz`, packed)
  const later = await tail(folder.path, log, QUICK)
  write(path, 5)
  await until(() => log.records.length === 35)
  await later.stop()
  assert.equal(new Set(log.ids()).size, 35)
})

test('a collector that is killed while it reads an archive goes on there', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  const written = write(path, 2)
  await (await started()).stop()
  written.push(...write(path, 5_000))
  renameSync(path, `${path}.1`)
  pack(`${path}.1`)
  written.push(...write(path, 3))
  for (let kills = 0; kills < 4; kills++) {
    const before = log.records.length
    const running = await tail(folder.path, log, QUICK)
    await until(() => log.records.length > before || before >= written.length)
    await running.kill()
  }
  const last = await tail(folder.path, log, QUICK)
  await until(() => log.records.length >= written.length)
  await last.stop()
  assert.deepEqual(log.ids().sort(), written.sort())

  async function started() {
    const running = await tail(folder.path, log, QUICK)
    await until(() => log.records.length === 2)
    return running
  }
})

test('of an archive that is damaged comes what can be unpacked, then a row that says from where on it is lost, once', async () => {
  for (const spoil of [cutOff, turnedOver]) {
    using folder = temporaryFolder()
    const path = join(folder.path, 'a.log')
    const log = new Taken()
    const written = write(path, 10)
    const first = await tail(folder.path, log, QUICK)
    await until(() => log.records.length === 10)
    await first.stop()
    written.push(...write(path, 4_000))
    renameSync(path, `${path}.1`)
    pack(`${path}.1`)
    const { atime, mtime } = statSync(`${path}.1.gz`)
    writeFileSync(`${path}.1.gz`, spoil(readFileSync(`${path}.1.gz`)))
    utimesSync(`${path}.1.gz`, atime, mtime)
    const after = write(path, 5)
    const second = await tail(folder.path, log, QUICK)
    const lost = () => log.rows().filter((row) => row.kind === 'dropped')
    // Told once nothing has come of it for a while, so last.
    await until(() => String(log.records.at(-1)!.value).includes('"file-gone"'))
    await second.stop()
    const [row, ...more] = lost()
    assert.deepEqual(more, [])
    assert.ok(row?.kind === 'dropped' && row.reason === 'file-gone' && row.lines === null)
    assert.equal(row.epoch, readPosition(log.records[0]!)!.epoch)
    const ids = log.ids()
    assert.deepEqual(ids.slice(0, 1_000), written.slice(0, 1_000))
    assert.ok(ids.length < written.length)
    assert.deepEqual(
      after.filter((id) => !ids.includes(id)),
      [],
    )

    const records = log.records.length
    const third = await tail(folder.path, log, QUICK)
    write(path, 1)
    await until(() => log.records.length > records)
    await clock.sleep(500)
    await third.stop()
    assert.equal(log.records.length, records + 1, 'no second try')
  }

  function cutOff(packed: Buffer): Buffer {
    return packed.subarray(0, Math.floor(packed.length / 2))
  }

  function turnedOver(packed: Buffer): Buffer {
    const spoilt = Buffer.from(packed)
    const middle = Math.floor(packed.length / 2)
    spoilt.fill(0xff, middle, middle + 64)
    return spoilt
  }
})

test('an archive of which not one byte can be unpacked holds nothing up', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  write(path, 1)
  const first = await tail(folder.path, log, QUICK)
  await until(() => log.records.length === 1)
  await first.stop()
  writeFileSync(`${path}.1.gz`, 'this is no archive')
  writeFileSync(`${path}.2.gz`, '')
  writeFileSync(`${path}.3.bz2`, 'nor this')
  write(path, 1)
  const second = await tail(folder.path, log, QUICK)
  await until(() => log.records.length === 2)
  await second.stop()
  assert.equal(log.ids().length, 2)
})

test('a large archive is read a piece at a time', async () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'a.log')
  const log = new Taken()
  write(path, 1)
  const first = await tail(folder.path, log, QUICK)
  await until(() => log.records.length === 1)
  await first.stop()
  const line = `${accessLine()}\n`
  const count = Math.ceil((48 * 1024 * 1024) / line.length)
  appendFileSync(path, line.repeat(count))
  renameSync(path, `${path}.1`)
  pack(`${path}.1`)
  write(path, 1)
  log.away = true
  const before = process.memoryUsage().arrayBuffers
  const second = await tail(folder.path, log, QUICK)
  await clock.sleep(700)
  assert.ok(process.memoryUsage().arrayBuffers - before < 24 * 1024 * 1024)
  await second.kill()
})

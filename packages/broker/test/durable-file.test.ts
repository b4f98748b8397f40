import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { codeOf, flushFolder, readIfThere, writeDurably, writeWhole } from '@forebay/broker/durable-file'

const dir = mkdtempSync(join(tmpdir(), 'forebay-durable-'))
after(() => rmSync(dir, { recursive: true, force: true }))

test('a file is written over as a whole, also where a crash left half of the next one', async () => {
  const path = join(dir, 'a.json')
  await writeDurably(path, 'first')
  writeFileSync(`${path}.new`, 'half of a much longer content')
  await writeDurably(path, Buffer.from('second'))
  assert.equal(readFileSync(path, 'utf8'), 'second')
  assert.deepEqual(readdirSync(dir), ['a.json'])
  assert.equal(await readIfThere(path), 'second')
  assert.equal(await readIfThere(join(dir, 'b.json')), null)
})

test('what cannot be moved into its place leaves the place as it was, and nothing beside it', async () => {
  const folder = join(dir, 'taken')
  mkdirSync(join(folder, 'place', 'within'), { recursive: true })
  await assert.rejects(writeWhole(join(folder, 'temporary'), join(folder, 'place'), 'x'))
  assert.deepEqual(readdirSync(folder), ['place'])
})

test('who reads all the time sees one content or the other, never half of one', async () => {
  const path = join(dir, 'busy')
  const contents = ['a', 'b'].map((letter) => letter.repeat(200_000))
  await writeDurably(path, contents[0]!)
  const writing = (async () => {
    for (let count = 0; count < 20; count++) await writeDurably(path, contents[count % 2]!)
    return 'written'
  })()
  let reads = 0
  while ((await Promise.race([writing, readIfThere(path)])) !== 'written') {
    const read = await readIfThere(path)
    assert.ok(contents.includes(read!))
    reads++
  }
  assert.ok(reads > 0)
})

test('a file system that cannot flush folders is no fault, a folder that is not there is', async (context) => {
  await assert.rejects(flushFolder(join(dir, 'nowhere')), (thrown) => codeOf(thrown) === 'ENOENT')
  await flushFolder(dir)
  if (process.platform !== 'linux') return context.skip('needs a file system of the kernel')
  // The kernel's own answers EINVAL.
  await flushFolder('/proc')
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { hasPython } from '../../scripts/rig/python-packages.ts'
import { type Found, installClickHouse, installSpark } from './readers.ts'
import { type ReadersScene, type Sent, startReadersScene } from './scene.ts'

const REQUESTS = process.env.E2E_LONG === '1' ? 100_000 : 6_000

describe('other systems read the topic of edge rows, each row once', { skip: await whyNot() }, () => {
  let scene: ReadersScene
  let spark: Awaited<ReturnType<typeof installSpark>>
  let clickHouse: Awaited<ReturnType<typeof installClickHouse>>
  before(async () => {
    spark = await installSpark()
    clickHouse = await installClickHouse()
    scene = await startReadersScene()
    await scene.publish(REQUESTS)
    await scene.publishStrange()
  })
  after(() => scene?.[Symbol.asyncDispose]())

  test('Spark, as a stream that goes on where it was', async () => {
    const folder = join(scene.dir, 'spark')
    const half = await spark({ ...scene, folder })
    assert.deepEqual(kindsAndCounts(half), wanted(scene.sent))
    await scene.publish(REQUESTS)
    const whole = await spark({ ...scene, folder })
    assert.equal(half.records + whole.records, await scene.records())
    assert.deepEqual(kindsAndCounts(whole), wanted(scene.sent))
  })

  test('Spark, as a batch', async (t) => {
    const records = await scene.records()
    const found = await spark({ ...scene, folder: null })
    assert.equal(found.records, records)
    assert.deepEqual(kindsAndCounts(found), wanted(scene.sent))
    const repeats = records - rowsOf(found) - scene.sent.strange.foreign
    t.diagnostic(`${records} records, of which ${repeats} came again`)
    assert.ok(repeats >= scene.sent.repeats)
  })

  test('ClickHouse, in its embedded form, by its Kafka table and a ReplacingMergeTree', async (t) => {
    const records = await scene.records()
    const found = await clickHouse({ ...scene, group: randomUUID(), records })
    assert.equal(found.records, records)
    assert.equal(found.unread, scene.sent.strange.foreign)
    assert.deepEqual(kindsAndCounts(found), wanted(scene.sent))
    t.diagnostic(`${found.records} records, of which ${found.records - rowsOf(found) - found.unread!} came again`)
  })
})

/** Two large downloads, so only who asks for this run gets it. */
async function whyNot(): Promise<string | false> {
  const asked = process.env.E2E_NAMES?.split(',').includes('edge-readers') === true
  if (!asked) return 'Spark and ClickHouse take 1.4 GB of disk: npm run e2e -- edge-readers'
  return (await hasPython()) ? false : 'python3 with venv is not on this machine'
}

const rowsOf = ({ kinds }: Found) => Object.values(kinds).reduce((sum, count) => sum + count, 0)

function kindsAndCounts({ kinds, statuses, lost }: Found): unknown {
  const rounded = statuses.map(({ p99, ...one }) => ({ ...one, p99: p99!.toFixed(6) }))
  return { kinds, lost, statuses: rounded }
}

function wanted({ requests, undecodable, dropped, strange }: Sent): unknown {
  const byStatus = Map.groupBy(requests, ({ status }) => status)
  return {
    kinds: { access: requests.length, undecodable, dropped: dropped.rows, weather: strange.unknownKind },
    lost: dropped.lines,
    statuses: [...byStatus.entries()]
      .sort(([one], [other]) => one - other)
      .map(([status, of]) => ({
        status,
        count: of.length,
        p99: quantile(
          of.map(({ seconds }) => seconds),
          0.99,
        ).toFixed(6),
      })),
  }
}

/** Between the two nearest, as SQL's percentile_cont. */
function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((one, other) => one - other)
  const at = (sorted.length - 1) * share
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
  return low + (high - low) * (at - Math.floor(at))
}

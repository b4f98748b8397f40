import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PublishError } from '../src/broker.ts'
import { consume, range } from '../src/contract/contract-log.ts'
import { folder, opened } from './support/embedded-log.ts'

const MEBIBYTE = 1024 * 1024

test('what does not fit is refused, reading goes on, and there is room again once the old is finished', async (context) => {
  const dir = await folder(context)
  const topic = { name: 'tasks', partitions: 2, retentionMs: 3_600_000 }
  const limits = { bytesMax: 4 * MEBIBYTE, retentionBytes: 2 * MEBIBYTE, commitIntervalMs: 10, retentionIntervalMs: 20 }
  const broker = await opened(context, { dir, ...limits }, [topic])
  const { reader } = await consume(broker, { topics: ['tasks'], group: 'workers' })
  const publish = () =>
    broker.publish([{ topic: 'tasks', key: null, value: new Uint8Array(50_000), headers: [] }]).then(
      () => null,
      (error: unknown) => error,
    )
  let kept = 0
  let error: unknown = null
  for (; error === null; kept++) error = await publish()
  kept--
  assert.ok(error instanceof PublishError, String(error))
  assert.equal(error.failed[0]!.outcome, 'refused')
  assert.match(error.message, /bytesMax/)
  assert.ok(kept > 50, `${kept} records fitted`)

  for (const delivery of await reader.take(kept)) delivery.settle()
  while ((await publish()) !== null);
  const states = await broker.inspect({ topics: ['tasks'], group: 'workers' })
  assert.ok(
    states.some((state) => state.start > 0),
    'room was made by removing what is finished',
  )
  assert.equal((await reader.take(1)).length, 1)
})

test('after the disk has failed the outcome is honest, nothing more is taken, and everything acknowledged can be read', async (context) => {
  const dir = await folder(context)
  const program = fileURLToPath(new URL('./support/write-until-refused.ts', import.meta.url))
  const command = `ulimit -f 6000 && exec "${process.execPath}" "${program}" "${dir}"`
  const { stdout } = await promisify(execFile)('sh', ['-c', command])
  const report: { outcomes: string[]; acknowledged: number; read: number } = JSON.parse(stdout)
  assert.ok(report.acknowledged > 5, stdout)
  assert.equal(report.read, report.acknowledged)
  assert.ok(report.outcomes.length <= 2, 'it stops at the first failure')

  const broker = await opened(context, { dir }, [])
  const [state] = await broker.inspect({ topics: ['tasks'] })
  const unknown = report.outcomes.filter((one) => one === 'unknown').length
  assert.ok(
    range(report.acknowledged, report.acknowledged + unknown + 1).includes(state!.end),
    `${stdout} ${state!.end}`,
  )
})

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { LOGS_TOPIC, type LogRow } from '@forebay/edge'
import {
  clock,
  collectOn,
  collectorOptions,
  openLog,
  rowsUntil,
  temporaryFolder,
} from '../../packages/edge/test/edge-rig.ts'
import { hasPython, pythonPackages } from '../../scripts/rig/python-packages.ts'

const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'

test("what OpenTelemetry's exporter for Python sends, gzipped protobuf, are rows of the log topic", {
  skip,
}, async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const http = { listen: { host: '127.0.0.1', port: 0 }, unix: null, keys: [] }
  const options = collectorOptions(folder.path, { http })
  await using collector = await collectOn(broker, options)
  const script = join(import.meta.dirname, 'python/log_otlp.py')
  const url = `http://127.0.0.1:${collector.ports.http}/v1/logs`
  const { stderr } = await promisify(execFile)(await python(), ['-B', script, url])
  assert.equal(stderr, '')
  const rows = (await rowsUntil(broker, (seen) => seen.length >= 1_001, LOGS_TOPIC)).map(({ row }) => row as LogRow)
  const [first, ...others] = rows
  assert.ok(Math.abs(Date.parse(first!.time) - clock.wallMs()) < 120_000)
  assert.deepEqual(
    { ...first, time: '', attributes: {}, resource: {} },
    {
      ...{ v: 1, kind: 'log', time: '', severity: 17, severityText: 'ERROR', body: 'no answer from grüße' },
      ...{ service: 'ledger', server: 'web-2', scope: 'orders', event: '', trace: '4bf92f3577b34da6a3ce929d0e0e4736' },
      ...{ span: '00f067aa0ba902b7', task: 't-1', attributes: {}, resource: {} },
    },
  )
  assert.deepEqual([first!.attributes.attempt, first!.attributes.sizes], [3, [1, 2]])
  assert.equal(first!.resource['telemetry.sdk.language'], 'python')
  assert.deepEqual(
    others.map(({ attributes }) => attributes.serial),
    others.map((_, serial) => serial),
  )
  await broker.close()
})

async function python(): Promise<string> {
  const version = '1.38.0'
  const packages = [`opentelemetry-sdk==${version}`, `opentelemetry-exporter-otlp-proto-http==${version}`]
  return join(await pythonPackages(packages), 'bin/python')
}

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const RECORDS = 300

test('a slice of the package index arrives in etcd through nginx, two gateways and Kafka, and is read back', async () => {
  const run = fileURLToPath(new URL('run.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [run, '--records', String(RECORDS)]).catch((error) => {
    throw new Error(`the example failed:\n${error.stdout}\n${error.stderr}`)
  })
  // Each record: a write with a revision of its own, equal through Forebay, equal in etcd.
  assert.match(stdout, new RegExp(`\\n${RECORDS * 3} passed, 0 failed\\n$`))
  assert.match(stdout, new RegExp(`${RECORDS} of ${RECORDS} equal, ${RECORDS} keys in all`))
})

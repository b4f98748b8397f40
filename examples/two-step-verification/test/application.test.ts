import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { CHECKS_EACH } from '../check.ts'
import { openDatabases } from './postgres-databases.ts'

const PEOPLE = 5

test('four processes on the embedded log of a Forebay server, with SQLite', async () => {
  const output = await runApplication([])
  assert.match(output, /^log {14}forebay:/m)
})

test('four processes on Kafka, with PostgreSQL', async () => {
  await using kafka = await useKafka()
  await using databases = await openDatabases()
  const [users, notifications] = [await databases.create(), await databases.create()]
  const databaseFlags = ['--users-database', users, '--notifications-database', notifications]
  const output = await runApplication(['--broker', `kafka://${kafka.bootstrap}`, ...databaseFlags])
  assert.match(output, /^log {14}kafka:/m)
})

async function runApplication(flags: readonly string[]): Promise<string> {
  const run = fileURLToPath(new URL('../run.ts', import.meta.url))
  const args = [run, '--check', String(PEOPLE), ...flags]
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((error) => {
    throw new Error(`the example failed:\n${error.stdout}\n${error.stderr}`)
  })
  assert.match(stdout, new RegExp(`\\n${PEOPLE * CHECKS_EACH} passed, 0 failed\\n$`))
  return stdout
}

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('the example says what came of its events', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'run.ts')])
  assert.equal(
    stdout,
    `mail to ada@example.com: welcome, Ada
mail to alan@example.com: welcome, Alan
mail to grace@example.com: goodbye
mail to grace@example.com: welcome, Grace
grace was told: welcome, then goodbye
the service that came later has counted 3 accounts
`,
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runEdge } from './run.ts'

const LONG = process.env.E2E_LONG === '1'

test('each request that passed nginx has one row, while Kafka goes away, the collector is killed twice and logs are rotated', async (t) => {
  const report = await runEdge({
    requests: LONG ? 200_000 : 6_000,
    perSecond: LONG ? 2_000 : 300,
    tasks: LONG ? 900 : 90,
    kafkaAwayMs: LONG ? 30_000 : 6_000,
    say: (line) => t.diagnostic(line),
  })
  const { files, datagrams, requests, tasks, kills, rotations } = report
  t.diagnostic(`${requests} requests, ${tasks} tasks, ${kills} kills, ${rotations} rotations`)
  t.diagnostic(`by file: ${files.rows} rows, ${files.repeats} records came again`)
  t.diagnostic(
    `by syslog: ${datagrams.rows} rows, ${datagrams.repeats} came again, ` +
      `${datagrams.lost.inStretches} lost in stretches that rows name, ${datagrams.lost.counted} counted by rows; ` +
      `they name ${datagrams.stretches.namedMs} ms, and no collector ran for ${datagrams.stretches.downMs} ms`,
  )
  const wrongs = [
    ...report.wrongs,
    ...files.wrongs.map((wrong) => `by file: ${wrong}`),
    ...datagrams.wrongs.map((wrong) => `by syslog: ${wrong}`),
  ]
  assert.equal(wrongs.length, 0, `${wrongs.length} wrongs:\n${wrongs.slice(0, 10).join('\n')}\n${report.output}`)
  assert.ok(requests >= (LONG ? 200_000 : 6_000), `only ${requests} requests passed nginx`)
  assert.equal(files.rows, requests)
  assert.equal(kills, 2)
  assert.ok(datagrams.lost.inStretches > 0, 'no line was lost while no collector ran: nothing is proved of those')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeDatagrams, judgeFiles, type Verdict } from './judge.ts'
import type { TopicRow } from './read-rows.ts'

/** The judge of the run beside this file: it must see each kind of wrong, or its verdicts prove nothing. */

const row = (requestId: string, first: number, end: number, more: Partial<TopicRow> = {}): TopicRow => ({
  ...{ place: 'web-1:/a.log@e1', first, end, kind: 'access', requestId, timeMs: 0, path: '/', query: '' },
  ...{ method: 'GET', status: 200, task: '', reason: '', lines: null },
  ...{ fromMs: Number.NaN, untilMs: Number.NaN },
  ...more,
})
const truth = new Map([
  ['a', 1_000],
  ['b', 2_000],
  ['c', 3_000],
])
const [a, b, c] = [row('a', 0, 10), row('b', 10, 20), row('c', 20, 30)]

function findsFault(verdict: Verdict, says: RegExp): void {
  assert.match(verdict.wrongs.join('\n'), says)
}

test('a file whose rows come again, out of order, is well', () => {
  const verdict = judgeFiles({ truth, rows: [b, a, b, c, a] }, [30, 0])
  assert.deepEqual(verdict, {
    ...{ wrongs: [], repeats: 2, rows: 3, lost: { inStretches: 0, counted: 0 } },
    stretches: { namedMs: 0, downMs: 0 },
  })
})

test('of a file, a missing request, a gap, a late begin, a short end, a drop and a foreign row are faults', () => {
  findsFault(judgeFiles({ truth, rows: [a, c] }, [30]), /1 requests have no row, such as b/)
  findsFault(judgeFiles({ truth, rows: [a, row('b', 11, 20), c] }, [30]), /ends at 10 and the next begins at 11/)
  findsFault(judgeFiles({ truth, rows: [b, c] }, [30]), /begins at 10/)
  findsFault(judgeFiles({ truth, rows: [a, b, c] }, [40]), /epochs end at 30, and the files are so long: 40/)
  const dropped = row('', 30, 40, { kind: 'dropped', reason: 'file-gone' })
  findsFault(judgeFiles({ truth, rows: [a, b, c, dropped] }, [40]), /kind dropped \(file-gone\)/)
  findsFault(judgeFiles({ truth, rows: [a, b, c, row('d', 30, 40)] }, [40]), /d of .* is no request that nginx knows/)
})

test('a request with two places, and a place with two requests, are faults', () => {
  const again = row('a', 0, 10, { place: 'web-1:/a.log@e2' })
  findsFault(judgeFiles({ truth, rows: [a, b, c, again] }, [30, 10]), /a has two places/)
  findsFault(judgeFiles({ truth, rows: [a, b, c, row('c', 0, 10)] }, [30]), /stands for two rows: a and c/)
})

const absence = (fromMs: number, untilMs: number) =>
  row('', 10, 10, { kind: 'dropped', reason: 'not-running', fromMs, untilMs })

test('a datagram may be missing where a row names the time that it ended, or counts it, and not otherwise', () => {
  const down = [{ fromMs: 1_900, untilMs: 3_100 }]
  const [early, late] = [absence(1_800, 2_500), absence(2_400, 3_050)]
  assert.deepEqual(judgeDatagrams({ truth, rows: [a, early, early, late] }, down), {
    ...{ wrongs: [], repeats: 0, rows: 1 },
    lost: { inStretches: 2, counted: 0 },
    stretches: { namedMs: 1_250, downMs: 1_200 },
  })
  findsFault(
    judgeDatagrams({ truth, rows: [a, early] }, down),
    /1 requests are missing that ended \(1970-01-01T00:00:03/,
  )
  findsFault(judgeDatagrams({ truth, rows: [a] }, down), /2 requests are missing/)
  findsFault(judgeDatagrams({ truth, rows: [a, absence(2_010, 2_990)] }, down), /2 requests are missing/)
  const told = row('', 10, 10, { kind: 'dropped', reason: 'socket', lines: 1 })
  assert.deepEqual(judgeDatagrams({ truth, rows: [a, told, told, row('c', 10, 20)] }, []).lost, {
    ...{ inStretches: 0, counted: 1 },
  })
  findsFault(judgeDatagrams({ truth, rows: [a, told, told] }, []), /2 requests are missing/)
  findsFault(
    judgeDatagrams({ truth, rows: [a, early, row('c', 20, 30)] }, down),
    /ends at 10 and the next begins at 20/,
  )
})

test('rows that name far more time than no collector ran are a fault', () => {
  const down = [{ fromMs: 1_900, untilMs: 2_100 }]
  findsFault(
    judgeDatagrams({ truth, rows: [a, absence(0, 4_000)] }, down),
    /rows name 4000 ms, and no more than 2300 ms/,
  )
  const twice = [absence(1_000, 2_500), absence(1_500, 3_000), absence(1_000, 3_000)]
  assert.deepEqual(judgeDatagrams({ truth, rows: [a, ...twice] }, down).wrongs, [])
})

import type { ParkingAct, ParkingAnswer } from '../../packages/server/src/store/embedded/parking-calls.ts'
import type { Write, Written } from '../../packages/server/src/store/embedded/store-calls.ts'
import type { Journal } from '../journal.ts'

/** What a write has done to parked tasks, for the history. */
export function journalParking(journal: Journal, by: string, { parking }: Write, written: Written): void {
  if (written.kind !== 'written') return
  for (const [index, act] of parking.entries()) {
    const answer = written.parking[index]!
    journal.cover(`parking ${act.act}${answer.kind === 'fenced' ? ' fenced' : ''}`)
    if (answer.kind !== 'fenced') journalAct(journal, by, act, answer)
  }
}

function journalAct(journal: Journal, by: string, act: ParkingAct, answer: ParkingAnswer): void {
  if (act.act === 'park') {
    for (const { offset, taskId, reason, line, dueInMs } of act.rows) {
      const { queue, partition } = act.owned
      journal.cover(`parked ${reason}`)
      journal.write(by, { type: 'park.kept', queue, partition, offset, taskId, reason, line, dueInMs })
    }
  } else if (act.act === 'remove') {
    const { queue, partition } = act.owned
    for (const offset of act.offsets) journal.write(by, { type: 'park.removed', queue, partition, offset })
  } else if (answer.kind === 'dropped') {
    for (const taskId of answer.taskIds) journal.write(by, { type: 'park.dropped', taskId })
  }
}

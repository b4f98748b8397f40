import type { LogRecord } from '@forebay/broker'
import type { QueueOptions } from '../options.ts'
import { decodeTask } from '../records.ts'
import type { Task } from '../task.ts'

/** What a record asks for. A sentence added to `faults` gives the record up: it becomes a dead letter. */
export type ReadTask = (record: LogRecord, faults: string[]) => Task

export function taskReader(queue: QueueOptions, lanes: number): ReadTask {
  const defaults = { queue: queue.name, budgetMs: queue.deadlineMs, lanes }
  return (record, faults) => {
    const task = decodeTask(record, defaults, faults)
    if (record.value === null) faults.push('The record has no value: there is nothing to do.')
    return task
  }
}

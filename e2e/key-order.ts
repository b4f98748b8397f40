import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { LedgerEntry } from './ledger.ts'

/** Where each task stands in the log, as kcat reads it. */
export async function readTasks(bootstrap: string, queue: string): Promise<Map<string, TaskPlace>> {
  const { stdout } = await promisify(execFile)(
    'kcat',
    ['-C', '-b', bootstrap, '-t', `forebay.tasks.${queue}`, '-o', 'beginning', '-e', '-q', '-f', '%p %o %k %h\n'],
    { maxBuffer: 256 * 1024 * 1024 },
  )
  const places = new Map<string, TaskPlace>()
  for (const line of stdout.split('\n')) {
    const [partition, offset, key, headers] = line.split(' ')
    const id = /ce_id=([\w-]+)/.exec(headers ?? '')?.[1]
    if (id === undefined || key === undefined || places.has(id)) continue
    places.set(id, { partition: Number(partition), offset: Number(offset), key })
  }
  return places
}

export interface TaskPlace {
  readonly partition: number
  readonly offset: number
  readonly key: string
}

/**
 * What breaks the order of a key (P4), as sentences: the tasks of one key must be begun for the first time in the order
 * of the log, and once a task was begun, an earlier one may only be begun again, never for the first time.
 */
export function orderViolations(ledger: readonly LedgerEntry[], places: ReadonlyMap<string, TaskPlace>): string[] {
  const begun = new Set<string>()
  const lastOfKey = new Map<string, { offset: number; id: string }>()
  const violations: string[] = []
  for (const { taskId } of ledger) {
    if (begun.has(taskId)) continue
    begun.add(taskId)
    const place = places.get(taskId)
    if (place === undefined) {
      violations.push(`${taskId} was begun and is not in the log`)
      continue
    }
    const last = lastOfKey.get(place.key)
    if (last !== undefined && place.offset < last.offset) {
      violations.push(`key ${place.key}: ${taskId} at ${place.offset} first begun after ${last.id} at ${last.offset}`)
    }
    lastOfKey.set(place.key, { offset: place.offset, id: taskId })
  }
  return violations
}

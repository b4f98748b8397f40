import type { StoredTask } from '../store.ts'
import { text } from './columns.ts'
import type { Database } from './database.ts'
import { storedTask, type TaskColumns } from './task-rows.ts'

/** What is known of each of these tasks, in their order. */
export async function readTasks(
  database: Database,
  schema: string,
  taskIds: readonly string[],
): Promise<readonly (StoredTask | null)[]> {
  const rows = await database.rows<TaskColumns>(
    `SELECT task_id, at_ms, attempts, generation, state, queue, owner, content_type, fault_code, fault_detail,
       blob_sha256, blob_bytes, payload FROM ${schema}.tasks WHERE task_id = ANY ($1::text[])`,
    [taskIds.map(text)],
  )
  const found = new Map(rows.map((row) => [row.task_id, storedTask(row)]))
  return taskIds.map((taskId) => found.get(text(taskId)) ?? null)
}

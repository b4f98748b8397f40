import type { KnownTasks } from '../apply-line.ts'
import { chunksOf, progressOf } from '../counted-outputs.ts'
import type { KnownOfTask, StreamChange } from '../fold-outputs.ts'
import { keptPage } from '../kept-page.ts'
import type { KeptOutput, KeptOutputs, OutputsRequest } from '../outputs.ts'
import { count, PackedBytes, text, textOrNull } from './columns.ts'
import type { Database } from './database.ts'

/** As `apply_with_outputs` wants them, from `restarts` on. */
export function outputColumns(said: readonly StreamChange[]): readonly unknown[] {
  const payloads = new PackedBytes()
  const chunks = said.map(chunksOf)
  const all = chunks.flat()
  const progress = said.map(progressOf)
  return [
    said.filter((one) => one.anew).map((one) => text(one.taskId)),
    said.map((one) => text(one.taskId)),
    said.map((one) => count(one.generation)),
    said.map((one) => count(one.attempts)),
    said.map((one) => text(one.head.run)),
    said.map((one) => one.head.chunks),
    chunks.map((those) => those.reduce((bytes, one) => bytes + one.payload.length, 0)),
    said.map((one) => one.beganAt),
    said.map((one) => Math.trunc(one.atMs)),
    progress.map((one) => one?.offset ?? null),
    progress.map((one) => one?.chunks ?? null),
    progress.map((one) => one?.atMs ?? null),
    progress.map((one) => one?.fraction ?? null),
    progress.map((one) => textOrNull(one?.message ?? null)),
    chunks.flatMap((those, index) => those.map(() => index + 1)),
    all.map((one) => one.offset),
    all.map((one) => one.chunks),
    all.map((one) => one.atMs),
    all.map((one) => text(one.contentType)),
    all.map((one) => payloads.add(one.payload)),
    all.map((one) => one.payload.length),
    payloads.finish(),
  ]
}

/** What is known of each of these tasks, and where the store stands at that moment. */
export async function knownTasks(
  database: Database,
  schema: string,
  place: { readonly topic: string; readonly partition: number },
  taskIds: readonly string[],
): Promise<KnownTasks> {
  const rows = await database.rows<KnownColumns>(
    `SELECT (SELECT next FROM ${schema}.positions WHERE topic = $1 AND partition = $2) AS position,
       task.generation, task.ended, head.generation AS said_generation, head.run, head.chunks
     FROM unnest($3::text[]) WITH ORDINALITY AS asked (task_id, number)
     LEFT JOIN LATERAL (SELECT generation, ended FROM ${schema}.tasks WHERE task_id = asked.task_id LIMIT 1) AS task ON true
     LEFT JOIN LATERAL (SELECT generation, run, chunks FROM ${schema}.output_heads WHERE task_id = asked.task_id LIMIT 1)
       AS head ON true
     ORDER BY asked.number`,
    [place.topic, place.partition, taskIds.map(text)],
  )
  const tasks = new Map(taskIds.map((taskId, index) => [taskId, knownOfTask(rows[index]!)]))
  return { position: rows[0]?.position ?? null, tasks }
}

export async function readOutputs(
  database: Database,
  schema: string,
  request: OutputsRequest,
): Promise<KeptOutputs | null> {
  const rows = await database.rows<OutputColumns>(
    `SELECT head.generation, head.attempts, head.run, head.chunks AS run_chunks, head.began_at, head.progress_offset,
       head.progress_chunks, head.progress_at_ms, head.progress_fraction, head.progress_message,
       page.log_offset, page.chunks, page.at_ms, page.content_type, page.payload
     FROM ${schema}.output_heads AS head LEFT JOIN LATERAL (
       SELECT * FROM (
         SELECT next.*, sum(octet_length(payload)) OVER (ORDER BY log_offset) - octet_length(payload) AS bytes_before
         FROM (SELECT log_offset, chunks, at_ms, content_type, payload FROM ${schema}.outputs
           WHERE task_id = $1 AND log_offset > $2 ORDER BY log_offset LIMIT ${PAGE_ROWS_MAX}) AS next) AS counted
       WHERE bytes_before = 0 OR bytes_before < $3) AS page ON true
     WHERE head.task_id = $1 AND NOT EXISTS (
       SELECT FROM ${schema}.tasks WHERE task_id = $1 AND generation > head.generation)
     ORDER BY page.log_offset`,
    [text(request.taskId), request.after, request.bytesMax],
  )
  return rows.length === 0 ? null : keptOutputs(rows, request)
}

/** However small they are. */
const PAGE_ROWS_MAX = 1_000

interface KnownColumns {
  readonly position: number | null
  readonly generation: number | null
  readonly ended: boolean | null
  readonly said_generation: number | null
  readonly run: string | null
  readonly chunks: number | null
}

function knownOfTask(row: KnownColumns): KnownOfTask {
  const { generation, ended, said_generation: saidIn, run, chunks } = row
  const stream = saidIn === null ? null : { generation: saidIn, run: run!, chunks: chunks! }
  return { generation: generation ?? -1, ended: ended === true, stream }
}

/** A chunk beside the head of its task; nulls for a head alone. */
interface OutputColumns {
  readonly generation: number
  readonly attempts: number
  readonly run: string
  readonly run_chunks: number
  readonly began_at: number
  readonly progress_offset: number | null
  readonly progress_chunks: number | null
  readonly progress_at_ms: number | null
  readonly progress_fraction: number | null
  readonly progress_message: string | null
  readonly log_offset: number | null
  readonly chunks: number | null
  readonly at_ms: number | null
  readonly content_type: string | null
  readonly payload: Buffer | null
}

function keptOutputs(rows: readonly OutputColumns[], request: OutputsRequest): KeptOutputs {
  const { generation, attempts, run, run_chunks: chunks, began_at: beganAt } = rows[0]!
  const kept = rows.filter((row) => row.log_offset !== null).map(keptChunk)
  const stream = { generation, attempts, head: { run, chunks }, beganAt }
  return keptPage(stream, kept, keptProgress(rows[0]!), request)
}

function keptChunk(row: OutputColumns): KeptOutput {
  const { log_offset: offset, chunks, at_ms: atMs, content_type: contentType, payload } = row
  const content = { kind: 'chunk' as const, payload: payload!, contentType: contentType! }
  return { offset: offset!, chunks: chunks!, atMs: atMs!, content }
}

function keptProgress(row: OutputColumns): KeptOutput | null {
  const { progress_offset: offset, progress_chunks: chunks, progress_at_ms: atMs } = row
  if (offset === null) return null
  const content = { kind: 'progress' as const, fraction: row.progress_fraction, message: row.progress_message! }
  return { offset, chunks: chunks!, atMs: atMs!, content }
}

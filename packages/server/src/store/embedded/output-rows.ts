import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type KnownOfTask, type OutputAt, OutputFold, type StreamChange } from '../fold-outputs.ts'
import type { TaskRow } from './batch-codec.ts'
import { ENDED } from './row-states.ts'

/** What tasks have said. Used inside the caller's transaction. */
export class OutputRows {
  readonly #task: StatementSync
  readonly #stream: StatementSync
  readonly #begin: StatementSync
  readonly #goOn: StatementSync
  readonly #put: StatementSync
  readonly #remove: StatementSync
  readonly #removeAll: StatementSync
  readonly #forget: StatementSync
  readonly #forgetStreams: StatementSync

  constructor(database: DatabaseSync) {
    this.#task = database.prepare('SELECT generation, ended FROM tasks WHERE task_id = ?')
    this.#stream = database.prepare(
      'SELECT id, generation, run, chunks, progress_at FROM output_streams WHERE task_id = ?',
    )
    this.#begin = database.prepare(
      `INSERT INTO output_streams (task_id, generation, attempts, run, chunks, began_at, progress_at, at_ms, bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (task_id) DO UPDATE SET generation = excluded.generation, attempts = excluded.attempts,
         run = excluded.run, chunks = excluded.chunks, began_at = excluded.began_at,
         progress_at = excluded.progress_at, at_ms = excluded.at_ms, bytes = excluded.bytes
       RETURNING id`,
    )
    this.#goOn = database.prepare(
      `UPDATE output_streams SET chunks = ?, progress_at = coalesce(?, progress_at), at_ms = ?, bytes = bytes + ?
       WHERE id = ?`,
    )
    // Offsets grow within a stream, unless somebody puts a task's records on two lanes: the batch must not fail of it.
    this.#put = database.prepare('INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#remove = database.prepare('DELETE FROM outputs WHERE stream = ? AND log_offset = ?')
    this.#removeAll = database.prepare('DELETE FROM outputs WHERE stream = ?')
    this.#forget = database.prepare('DELETE FROM outputs')
    this.#forgetStreams = database.prepare('DELETE FROM output_streams')
  }

  /** `facts`: the rest of the batch, of which nothing is written yet. */
  apply(outputs: readonly OutputAt[], facts: readonly TaskRow[], position: number, nowMs: number): void {
    const streams = new Map<string, StreamColumns>()
    const fold = new OutputFold((taskId) => this.#known(taskId, streams))
    let read = 0
    for (const { offset, output } of outputs) {
      if (offset < position) continue
      for (; read < facts.length && facts[read]!.offset < offset; read++) {
        const { offset: at, taskId, generation, ended } = facts[read]!
        if (at >= position) fold.fact(taskId, generation, ended)
      }
      fold.output(offset, output)
    }
    for (const change of fold.changes()) this.#write(change, streams.get(change.taskId), nowMs)
  }

  forget(): void {
    this.#forget.run()
    this.#forgetStreams.run()
  }

  #known(taskId: string, streams: Map<string, StreamColumns>): KnownOfTask {
    const task = this.#task.get(taskId)
    const stream = this.#stream.get(taskId) as StreamColumns | undefined
    if (stream !== undefined) streams.set(taskId, stream)
    return {
      generation: (task?.generation as number | undefined) ?? -1,
      ended: task?.ended === ENDED,
      stream: stream ?? null,
    }
  }

  #write(change: StreamChange, before: StreamColumns | undefined, nowMs: number): void {
    const { taskId, anew, generation, attempts, beganAt, head, chunks, progress } = change
    // A moment that lies ahead, by somebody's clock or malice, would keep the row for ever.
    const atMs = Math.min(change.atMs, nowMs)
    const bytes = chunks.reduce((sum, { output }) => sum + bodyOf(output).length, 0)
    const place = progress?.offset ?? null
    let id: number
    if (anew || before === undefined) {
      if (before !== undefined) this.#removeAll.run(before.id)
      const begun = this.#begin.get(taskId, generation, attempts, head.run, head.chunks, beganAt, place, atMs, bytes)
      id = begun!.id as number
    } else {
      id = before.id
      if (progress !== null && before.progress_at !== null) this.#remove.run(id, before.progress_at)
      this.#goOn.run(head.chunks, place, atMs, bytes, id)
    }
    for (const one of chunks) this.#keep(id, one)
    if (progress !== null) this.#keep(id, progress)
  }

  #keep(stream: number, { offset, output }: OutputAt): void {
    const { chunks, atMs, content } = output
    const isChunk = content.kind === 'chunk'
    const contentType = isChunk ? content.contentType : null
    this.#put.run(stream, offset, chunks, atMs, contentType, isChunk ? null : content.fraction, bodyOf(output))
  }
}

function bodyOf({ content }: OutputAt['output']): Uint8Array {
  return content.kind === 'chunk' ? content.payload : Buffer.from(content.message)
}

interface StreamColumns {
  readonly id: number
  readonly generation: number
  readonly run: string
  readonly chunks: number
  readonly progress_at: number | null
}

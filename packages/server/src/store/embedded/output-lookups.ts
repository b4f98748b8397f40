import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type KeptOutputs, OUTPUTS_PAGE_MAX, type OutputsRequest } from '../outputs.ts'

/** Pages of what a task has said, on their way back: the bodies lie one after the other in `bodies`. */
export interface FoundOutputs extends Omit<KeptOutputs, 'outputs'> {
  readonly outputs: readonly FoundOutput[]
  readonly bodies: ArrayBuffer
}

interface FoundOutput {
  readonly offset: number
  readonly chunks: number
  readonly atMs: number
  /** Null for a progress. */
  readonly contentType: string | null
  readonly fraction: number | null
  readonly bytes: number
}

/** Reads what tasks have said. */
export class OutputLookups {
  readonly #stream: StatementSync
  readonly #page: StatementSync

  constructor(database: DatabaseSync) {
    this.#stream = database.prepare(
      `SELECT id, generation, attempts, run, chunks, began_at FROM output_streams WHERE task_id = ?
         AND generation >= coalesce((SELECT generation FROM tasks WHERE tasks.task_id = output_streams.task_id), 0)`,
    )
    this.#page = database.prepare(
      `SELECT log_offset, chunks, at_ms, content_type, fraction, body FROM outputs
       WHERE stream = ? AND log_offset > ? ORDER BY log_offset LIMIT ${OUTPUTS_PAGE_MAX + 1}`,
    )
  }

  read({ taskId, after, bytesMax }: OutputsRequest): FoundOutputs | null {
    const stream = this.#stream.get(taskId) as StreamColumns | undefined
    if (stream === undefined) return null
    const { id, generation, attempts, run, chunks, began_at: beganAt } = stream
    const page = this.#read(id, after, bytesMax)
    return { generation, attempts, head: { run, chunks }, beganAt, ...page }
  }

  #read(stream: number, after: number, bytesMax: number): Pick<FoundOutputs, 'outputs' | 'bodies' | 'more'> {
    const outputs: FoundOutput[] = []
    const found: Uint8Array[] = []
    let bytes = 0
    let more = false
    for (const row of this.#page.iterate(stream, after) as Iterable<unknown> as Iterable<OutputColumns>) {
      if (outputs.length > 0 && (bytes >= bytesMax || outputs.length === OUTPUTS_PAGE_MAX)) {
        more = true
        break
      }
      const { log_offset: offset, chunks, at_ms: atMs, content_type: contentType, fraction, body } = row
      outputs.push({ offset, chunks, atMs, contentType, fraction, bytes: body.length })
      found.push(body)
      bytes += body.length
    }
    return { outputs, bodies: joined(found, bytes), more }
  }
}

/** As the port has it. */
export function unpackOutputs({ outputs, bodies, ...rest }: FoundOutputs): KeptOutputs {
  let at = 0
  return {
    ...rest,
    outputs: outputs.map(({ offset, chunks, atMs, contentType, fraction, bytes }) => {
      const body = Buffer.from(bodies, at, bytes)
      at += bytes
      if (contentType === null) {
        return { offset, chunks, atMs, content: { kind: 'progress', fraction, message: body.toString() } }
      }
      return { offset, chunks, atMs, content: { kind: 'chunk', payload: body, contentType } }
    }),
  }
}

function joined(found: readonly Uint8Array[], bytes: number): ArrayBuffer {
  const all = new Uint8Array(bytes)
  let at = 0
  for (const one of found) {
    all.set(one, at)
    at += one.length
  }
  return all.buffer
}

interface StreamColumns {
  readonly id: number
  readonly generation: number
  readonly attempts: number
  readonly run: string
  readonly chunks: number
  readonly began_at: number
}

interface OutputColumns {
  readonly log_offset: number
  readonly chunks: number
  readonly at_ms: number
  readonly content_type: string | null
  readonly fraction: number | null
  readonly body: Uint8Array
}

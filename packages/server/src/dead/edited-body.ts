import { ForebayError } from '@forebay/protocol'
import { bodyCheck } from '../accept/body-schema.ts'
import { parseJson } from '../accept/json-body.ts'
import type { QueueOptions } from '../options.ts'

/**
 * What holds for a body that is handed in holds for one that takes its place, and it must fit into a record, with the
 * letter's headers. Throws TASK_TOO_LARGE, MALFORMED_JSON, SCHEMA_MISMATCH.
 */
export function checkEditedBody(
  { name, schema, bodyBytesMax }: QueueOptions,
  body: Uint8Array,
  recordBytesMax: number,
) {
  const limit = Math.min(bodyBytesMax, recordBytesMax - RECORD_HEADROOM_BYTES)
  if (body.length > limit) {
    const message = `The body has ${body.length} bytes; at most ${limit} are taken.`
    throw new ForebayError('TASK_TOO_LARGE', message, { members: { limit } })
  }
  // Compiled anew each time: bodies are rarely mended, and then by hand.
  if (schema !== null) bodyCheck(name, schema)(parseJson(body))
}

const RECORD_HEADROOM_BYTES = 16 * 1024

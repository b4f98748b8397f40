import { bodyCheck } from '../accept/body-schema.ts'
import { parseJson } from '../accept/json-body.ts'
import type { QueueOptions } from '../options.ts'
import type { Place } from './field.ts'
import { formatSize } from './size.ts'

/** What no caller could hand in, a schedule must not make either. */
export function refuseSchedules({ name, schedule, bodyBytesMax, schema }: QueueOptions, place: Place): void {
  for (const one of schedule) {
    const body = place.at(one.name, 'body')
    if (one.body.length > bodyBytesMax) {
      const message = `The body has ${one.body.length} bytes, and bodies of this queue at most ${bodyBytesMax}.`
      body.refuse(one.body.length, message, `Write less, or raise \`bodyMax\` (${formatSize(bodyBytesMax)}).`)
    }
    if (schema === null) continue
    try {
      bodyCheck(name, schema)(parseJson(one.body))
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (!isOfSchemaItself(error)) body.refuse(null, why, 'Mend the body, or the schema of the queue.')
    }
  }
}

/** Told of where the schema stands. */
function isOfSchemaItself(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'CONFIG_INVALID'
}

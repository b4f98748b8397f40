import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { CommandError, EXIT } from './exit-codes.ts'

/** The body that a command was given: as an argument, in a file, or with '-' on stdin. `usage` shows how, without it. */
export async function readBody(
  given: string | undefined,
  file: string | undefined,
  usage: string,
): Promise<Uint8Array> {
  if ((given === undefined) === (file === undefined)) {
    const fix = [`${usage} '{"a":1}'`, `${usage} --file FILE`, `${usage} -`]
    throw new CommandError(EXIT.usage, 'Say once what the body is.', { fix })
  }
  if (given === '-') return buffer(process.stdin)
  if (given !== undefined) return new TextEncoder().encode(given)
  try {
    return readFileSync(file!)
  } catch (error) {
    throw new CommandError(EXIT.usage, `The file ${file} cannot be read.`, { cause: error })
  }
}

export function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return true
  } catch {
    return false
  }
}

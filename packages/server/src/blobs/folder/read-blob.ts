import { type FileHandle, open, stat } from 'node:fs/promises'
import { codeOf } from '@forebay/broker/durable-file'

/** Null when there is no such file, or it has another length. */
export async function readOfLength(path: string, bytes: number): Promise<Uint8Array | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null
    throw thrown
  }
  try {
    if ((await file.stat()).size !== bytes) return null
    return await file.readFile()
  } finally {
    await file.close()
  }
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return false
    throw thrown
  }
}

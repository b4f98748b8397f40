import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { codeOf, flushFolder, readIfThere } from '@forebay/broker/durable-file'

export type FoundNote = { readonly state: 'none' | 'damaged' } | { readonly state: 'found'; readonly text: string }

/**
 * A short text that is written anew again and again, too often to flush it: in turn into two files, in place, each with a
 * checksum and a number that grows. A process that is killed leaves the last or the one before; a power loss an older one.
 */
export class NoteFile {
  readonly #files: readonly [FileHandle, FileHandle]
  readonly #path: string
  #number: number
  #isNew = true

  private constructor(path: string, files: readonly [FileHandle, FileHandle], number: number) {
    this.#path = path
    this.#files = files
    this.#number = number
  }

  /** With what the newest sound one holds. */
  static async open(path: string): Promise<{ readonly file: NoteFile; readonly found: FoundNote }> {
    await mkdir(dirname(path), { recursive: true })
    const kept = await Promise.all(SIDES.map((side) => read(`${path}.${side}`)))
    const [newest] = kept.filter((one) => typeof one === 'object').sort((one, other) => other.number - one.number)
    const even = await openToWrite(`${path}.0`)
    try {
      const file = new NoteFile(path, [even, await openToWrite(`${path}.1`)], newest?.number ?? 0)
      if (newest !== undefined) return { file, found: { state: 'found', text: newest.text } }
      return { file, found: { state: kept.includes('damaged') ? 'damaged' : 'none' } }
    } catch (thrown) {
      await even.close()
      throw thrown
    }
  }

  /** One line. The first of a start is flushed, so that there is always something to go back to. */
  async write(text: string): Promise<void> {
    const number = this.#number + 1
    const content = `${number} ${text}`
    const bytes = Buffer.from(`${checksum(content)} ${content}\n`)
    const file = this.#files[number % 2]!
    for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten
    if (this.#isNew) {
      await file.datasync()
      await flushFolder(dirname(this.#path))
      this.#isNew = false
    }
    this.#number = number
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()))
  }
}

const SIDES = [0, 1]

/** What is there stays until it is written over. */
function openToWrite(path: string): Promise<FileHandle> {
  return open(path, 'r+').catch((thrown) => {
    if (codeOf(thrown) === 'ENOENT') return open(path, 'w')
    throw thrown
  })
}

/** Behind the line there may be the rest of a longer one. */
async function read(path: string): Promise<{ readonly number: number; readonly text: string } | 'none' | 'damaged'> {
  const kept = (await readIfThere(path)) ?? ''
  if (kept === '') return 'none'
  const [, sum, content, number, text] = /^([0-9a-f]{8}) ((\d+) (.*))\n/.exec(kept) ?? []
  if (text === undefined || checksum(content!) !== sum) return 'damaged'
  return { number: Number(number), text }
}

function checksum(content: string): string {
  return crc32(content).toString(16).padStart(8, '0')
}

import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Answers of a registry that never change, one file each. A file that is not there or not whole is none. */
export class SchemaFiles {
  readonly #folder: string | null

  /** Without `folder` nothing is kept. */
  constructor(folder: string | null, url: string) {
    this.#folder = folder === null ? null : join(folder, hash(url))
  }

  async get(name: string): Promise<unknown> {
    if (this.#folder === null) return null
    try {
      return JSON.parse(await readFile(join(this.#folder, hash(name)), 'utf8'))
    } catch {
      return null
    }
  }

  /** What cannot be written is asked again another time. */
  async put(name: string, answer: unknown): Promise<void> {
    if (this.#folder === null) return
    const path = join(this.#folder, hash(name))
    const fresh = `${path}.${randomUUID()}`
    try {
      await mkdir(this.#folder, { recursive: true })
      await writeFile(fresh, JSON.stringify(answer))
      await rename(fresh, path)
    } catch {
      // As said.
    }
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

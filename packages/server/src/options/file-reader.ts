import { readFileSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import type { Path, Place } from './field.ts'

/** Reads the files that a configuration names; what is wrong with one is refused where it is named. */
export interface FileReader {
  absolute(path: string, place: Place): string
  /** The absolute path of a file that can be read; refuses it otherwise. */
  existing(path: string, place: Place): string
  json(path: string, place: Place): object | null
}

export interface FileContext {
  /** The folder that relative paths at this place of the given form start from. */
  folderOf(path: Path): string
}

export function fileReader(context: FileContext): FileReader {
  const absolute = (path: string, place: Place) =>
    isAbsolute(path) ? path : resolve(context.folderOf(place.path), path)
  const textOf = (path: string, place: Place): string | null => {
    const file = absolute(path, place)
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : 'cannot be read'
      return place.refuse(path, `The file ${file} ${why}.`, 'Name a file that can be read.') ?? null
    }
  }
  return {
    absolute,
    existing(path, place) {
      textOf(path, place)
      return absolute(path, place)
    },
    json(path, place) {
      const text = textOf(path, place)
      if (text === null) return null
      try {
        const value: unknown = JSON.parse(text)
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
        return place.refuse(path, `The file ${absolute(path, place)} holds no JSON Schema.`, 'Write an object.') ?? null
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        return place.refuse(path, `The file ${absolute(path, place)} is not JSON: ${why}.`, 'Mend the file.') ?? null
      }
    },
  }
}

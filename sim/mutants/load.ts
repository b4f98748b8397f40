import { registerHooks } from 'node:module'
import type { Mutant } from './mutant.ts'

const ROOT = new URL('../../', import.meta.url)

/**
 * From now on the mutant's file is loaded with its bug in it, in this thread only. Call it before anything of the
 * product is imported. Returns how to ask whether the file was loaded at all.
 */
export function loadMutant({ name, file, find, replace }: Mutant): () => boolean {
  const place = new URL(file, ROOT).href
  let loaded = false
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context)
      if (url !== place) return result
      const source = String(result.source)
      const parts = source.split(find)
      if (parts.length !== 2) {
        throw new Error(`Mutant "${name}" is stale: what it changes stands ${parts.length - 1} times in ${file}.`)
      }
      loaded = true
      return { ...result, source: parts.join(replace) }
    },
  })
  return () => loaded
}

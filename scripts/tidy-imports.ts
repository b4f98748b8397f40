import { posix } from 'node:path'

export interface Import {
  readonly specifier: string
  readonly line: number
  /** Gone when the types are stripped. */
  readonly isType: boolean
}

/** Static and dynamic imports and re-exports, and files given to `new URL(…, import.meta.url)`. */
export function importsOf(text: string): Import[] {
  const found: Import[] = []
  for (const match of text.matchAll(IMPORT)) {
    const specifier = match.groups?.from ?? match.groups?.dynamic ?? match.groups?.url
    if (specifier === undefined) continue
    const line = text.slice(0, match.index).split('\n').length
    found.push({ specifier, line, isType: /^(import|export) type\b/.test(match[0]) })
  }
  return found
}

const IMPORT =
  /^(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"](?<from>[^'"]+)['"]|\bimport\(\s*['"](?<dynamic>[^'"]+)['"]\s*\)|\bnew URL\(\s*['"](?<url>\.[^'"]+)['"]\s*,\s*import\.meta\.url/gm

export function resolveImport(importer: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(importer), specifier) : specifier
}

/** Files that import each other at run time, first and last the same; null when there are none. */
export function findCycle(sources: ReadonlyMap<string, string>): readonly string[] | null {
  const finished = new Set<string>()
  const visit = (path: string, trail: readonly string[]): readonly string[] | null => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    const text = sources.get(path)
    if (text === undefined || finished.has(path)) return null
    for (const { specifier, isType } of importsOf(text)) {
      const cycle = isType ? null : visit(resolveImport(path, specifier), [...trail, path])
      if (cycle !== null) return cycle
    }
    finished.add(path)
    return null
  }
  for (const path of sources.keys()) {
    const cycle = visit(path, [])
    if (cycle !== null) return cycle
  }
  return null
}

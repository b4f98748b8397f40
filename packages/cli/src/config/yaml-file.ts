import type { Fault, Path } from '@forebay/server/configuration'
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml'

/** A configuration file as read, that knows where each of its keys and values stands. */
export interface YamlFile {
  readonly given: unknown
  /** Broken syntax and keys that stand twice. `given` is null then. */
  readonly faults: readonly SyntaxFault[]
  /** The nearest place in the file to what is asked for. */
  locate(path: Path, about: Fault['about']): Spot
}

/** Both count from 1. */
export interface Spot {
  readonly line: number
  readonly column: number
}

export interface SyntaxFault extends Spot {
  readonly message: string
}

export function readYaml(text: string): YamlFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true })
  const spotAt = (offset: number): Spot => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const faults = document.errors.map((error) => ({
    ...spotAt(error.pos[0]),
    message: error.code === 'DUPLICATE_KEY' ? 'This key stands here a second time.' : sentence(error.message),
  }))
  let given: unknown = null
  if (faults.length === 0) {
    try {
      given = document.toJS()
    } catch (error) {
      // Aliases that multiply without end are found only here.
      faults.push({ line: 1, column: 1, message: sentence(error instanceof Error ? error.message : String(error)) })
    }
  }
  return {
    given,
    faults,
    locate(path, about) {
      const offset = offsetOf(document, path, about)
      return offset === null ? { line: 1, column: 1 } : spotAt(offset)
    },
  }
}

function offsetOf(document: Document, path: Path, about: Fault['about']): number | null {
  let offset: number | null = null
  let node: unknown = document.contents
  for (const [depth, key] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => (isScalar(item.key) ? String(item.key.value) : item.key) === String(key))
      if (pair === undefined) return offset
      const keyOffset = startOf(pair.key)
      const isLast = depth === path.length - 1
      offset = (isLast && about === 'key' ? keyOffset : (startOf(pair.value) ?? keyOffset)) ?? offset
      node = pair.value
    } else if (isNode(node) && 'items' in node) {
      node = (node as { get(key: unknown, keepScalar: true): unknown }).get(key, true)
      offset = startOf(node) ?? offset
    } else return offset
  }
  return offset
}

function startOf(node: unknown): number | null {
  return isNode(node) ? ((node as Node).range?.[0] ?? null) : null
}

function sentence(message: string): string {
  const trimmed = message.trim()
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`
}

import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ForebayError } from '@forebay/protocol'
import protobuf from 'protobufjs'
import type { SchemaImport } from '../schema.ts'
import { messageOf } from './data-faults.ts'
import { readSource } from './schema-source.ts'

/** Everything that the text and its imports define, resolved. */
export function parseFiles({ text, imports }: { text: string; imports: readonly SchemaImport[] }): protobuf.Root {
  const root = new protobuf.Root()
  const known = new Set(imports.map(({ name }) => name))
  for (const source of [...imports.map((one) => one.text), text]) {
    for (const name of importsOf(protobuf.parse(source, root))) if (!known.has(name)) addGoogles(root, name)
  }
  root.resolveAll()
  return root
}

/** The files that a file imports, each after those that it imports itself; Google's own, which everybody has, are left out. */
export function readImports(text: string, file: string | URL, importsIn?: string | URL): SchemaImport[] {
  const folder = importsIn === undefined ? dirname(pathOf(file)) : pathOf(importsIn)
  const found = new Map<string, SchemaImport>()
  const add = (source: string, above: readonly string[]) => {
    for (const name of importsOf(parseAlone(source, above.at(-1) ?? pathOf(file)))) {
      if (googles(name) !== null || found.has(name)) continue
      if (above.includes(name)) throw faulty(`${name} imports itself, by ${above.join(', ')}`)
      const path = join(folder, name)
      if (!path.startsWith(resolve(folder))) throw faulty(`${name} is outside ${folder}`)
      const imported = readSource({ file: path })
      add(imported, [...above, name])
      found.set(name, { name, text: imported })
    }
  }
  add(text, [])
  return [...found.values()]
}

function parseAlone(text: string, file: string): protobuf.IParserResult {
  try {
    return protobuf.parse(text, new protobuf.Root())
  } catch (cause) {
    throw faulty(`${file}: ${messageOf(cause)}`, cause)
  }
}

function importsOf({ imports = [], weakImports = [] }: protobuf.IParserResult): readonly string[] {
  return [...imports, ...weakImports]
}

function addGoogles(root: protobuf.Root, name: string): void {
  const file = googles(name)
  if (file === null) throw new Error(`it imports ${name}, which is not there`)
  if (file.nested) root.addJSON(file.nested)
}

function googles(name: string): protobuf.INamespace | null {
  return protobuf.common.get(name) as protobuf.INamespace | null
}

function pathOf(file: string | URL): string {
  return resolve(file instanceof URL ? fileURLToPath(file) : file)
}

function faulty(what: string, cause?: unknown): ForebayError {
  return new ForebayError('CONFIG_INVALID', `The Protobuf schema's imports: ${what}.`, { cause })
}

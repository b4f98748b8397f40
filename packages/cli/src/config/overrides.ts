import { readFileSync } from 'node:fs'
import { type Field, nearestName, optionsField, type Path } from '@forebay/server/configuration'
import { parse } from 'yaml'
import { PREFIX } from '../environment.ts'
import { CommandError, EXIT } from '../exit-codes.ts'

/** A value from a flag or the environment that goes over what the file says. */
export interface Override {
  readonly path: Path
  readonly value: unknown
  /** The variable's name, or the flag as typed. */
  readonly origin: string
}

type AnyField = Field<unknown, unknown>

/**
 * The twins of configuration keys that are set, shortest path first: FOREBAY_HTTP_LISTEN is http.listen, and
 * FOREBAY_QUEUES_ORDERS_RETRY_ATTEMPTS is queues.orders.retry.attempts; so are those of events. NAME_FILE reads the value from a file.
 */
export function environmentOverrides(
  twins: ReadonlyMap<string, string>,
  queues: readonly string[],
): { readonly overrides: readonly Override[]; readonly warnings: readonly string[] } {
  const known = fixedTwins()
  const overrides: Override[] = []
  const warnings: string[] = []
  for (const [name, text] of twins) {
    const found = lookUp(name, known, queues)
    if (found !== null) overrides.push({ path: found.path, value: fromText(found.field, text), origin: name })
    else if (name.endsWith(FILE_SUFFIX)) {
      const fromFile = lookUp(name.slice(0, -FILE_SUFFIX.length), known, queues)
      if (fromFile === null) continue
      overrides.push({ path: fromFile.path, value: fromText(fromFile.field, readSecret(text, name)), origin: name })
    } else {
      const nearest = nearestName(name, known.keys())
      if (nearest !== null) warnings.push(`${name} is no variable of Forebay's; did you mean ${nearest}?`)
    }
  }
  overrides.sort((a, b) => a.path.length - b.path.length)
  return { overrides, warnings }
}

/** `--set http.listen=0.0.0.0:80` */
export function flagOverride(text: string, queues: readonly string[]): Override {
  const equals = text.indexOf('=')
  if (equals <= 0) {
    const fix = ['Write --set http.listen=0.0.0.0:8080.']
    throw new CommandError(EXIT.usage, `--set ${text} has no key or no value.`, { fix })
  }
  const path = dottedPath(text.slice(0, equals), queues)
  const field = fieldAt(path)
  const value = text.slice(equals + 1)
  return { path, value: field === null ? value : fromText(field, value), origin: `--set ${text.slice(0, equals)}` }
}

/** Names of the variables of all keys outside `queues`, for pages and tests. */
export function variableOf(path: Path): string {
  const words = path.map((key) => String(key).replace(/([a-z])([A-Z])/g, '$1_$2'))
  return (
    PREFIX +
    words
      .join('_')
      .replace(/[^A-Za-z0-9]/g, '_')
      .toUpperCase()
  )
}

const FILE_SUFFIX = '_FILE'

interface Twin {
  readonly path: Path
  readonly field: AnyField
}

function fixedTwins(): Map<string, Twin> {
  const known = new Map<string, Twin>()
  for (const twin of twinsBelow(optionsField, [])) known.set(variableOf(twin.path), twin)
  return known
}

function* twinsBelow(field: AnyField, path: Path): Generator<Twin> {
  for (const [name, member] of Object.entries(field.members ?? {})) {
    const twin = { path: [...path, name], field: member }
    yield twin
    yield* twinsBelow(member, twin.path)
  }
}

function lookUp(name: string, known: ReadonlyMap<string, Twin>, queues: readonly string[]): Twin | null {
  return known.get(name) ?? namedTwin('queues', name, queues) ?? namedTwin('events', name, [])
}

/** A queue that the file has goes by its own name; what else is named is taken as it stands, in lower case. */
function namedTwin(map: 'queues' | 'events', name: string, names: readonly string[]): Twin | null {
  const prefix = `${variableOf([map])}_`
  if (!name.startsWith(prefix)) return null
  const rest = name.slice(prefix.length)
  const policy = optionsField.members?.[map]?.item
  if (policy === undefined) return null
  const candidates = [...twinsBelow(policy, [])].map((twin) => ({
    twin,
    suffix: variableOf(twin.path).slice(PREFIX.length),
  }))
  candidates.sort((a, b) => b.suffix.length - a.suffix.length)
  for (const { twin, suffix } of candidates) {
    if (!rest.endsWith(`_${suffix}`)) continue
    const written = rest.slice(0, -suffix.length - 1)
    const found = names.find((one) => variableOf([one]) === PREFIX + written) ?? written.toLowerCase()
    return { path: [map, found, ...twin.path], field: twin.field }
  }
  return null
}

function fromText(field: AnyField, text: string): unknown {
  if (field.fromText === 'as-is') return text
  if (field.fromText === 'commas' && !text.trim().startsWith('[')) return text.split(',').map((part) => part.trim())
  try {
    return parse(text)
  } catch {
    return text
  }
}

function readSecret(file: string, variable: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new CommandError(EXIT.configInvalid, `The file ${file} that ${variable} names cannot be read.`, {
      code: 'CONFIG_INVALID',
      fix: [`Name a file that can be read, or unset ${variable}.`],
      cause: error,
    })
  }
}

/** The names of queues may hold dots; what the file has, or else what reads as a key, decides where a name ends. */
function dottedPath(text: string, queues: readonly string[]): Path {
  const parts = text.split('.')
  if (parts[0] !== 'queues' || parts.length < 3) return parts
  for (let end = parts.length; end > 1; end--) {
    const name = parts.slice(1, end).join('.')
    const path = ['queues', name, ...parts.slice(end)]
    if (queues.includes(name) && fieldAt(path) !== null) return path
  }
  for (let end = parts.length - 1; end > 1; end--) {
    const path = ['queues', parts.slice(1, end).join('.'), ...parts.slice(end)]
    if (fieldAt(path) !== null) return path
  }
  return parts
}

function fieldAt(path: Path): AnyField | null {
  let field: AnyField = optionsField
  for (const key of path) {
    const members = field.members
    const next = members !== undefined && Object.hasOwn(members, key) ? members[String(key)] : field.item
    if (next === undefined) return null
    field = next
  }
  return field
}

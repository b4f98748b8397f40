import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import { type Fault, type Path, resolveOptions, type ServerOptions } from '@forebay/server/configuration'
import type { Environment } from '../environment.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { environmentOverrides, flagOverride, type Override } from './overrides.ts'
import { readYaml, type YamlFile } from './yaml-file.ts'

/** What a command was told about configuration. */
export interface ConfigFlags {
  readonly config?: string
  readonly roles?: string
  readonly set?: readonly string[]
}

export type LoadedConfig =
  | {
      readonly ok: true
      readonly file: string | null
      readonly options: ServerOptions
      readonly warnings: readonly string[]
    }
  | { readonly ok: false; readonly faults: readonly LocatedFault[]; readonly warnings: readonly string[] }

/** A fault with the place where a person can mend it. */
export interface LocatedFault {
  /** 'forebay.yaml:14:5', 'FOREBAY_HTTP_LISTEN' or '--set http.listen'. */
  readonly where: string
  readonly file: string | null
  readonly line: number | null
  readonly column: number | null
  readonly path: string
  readonly message: string
  readonly fix: string
}

/** Flag over environment over file over default. Every fault at once, each with its place. */
export function loadConfig(flags: ConfigFlags, environment: Environment): LoadedConfig {
  const file = configFile(flags, environment)
  const yaml = file === null ? readYaml('') : readYaml(readConfig(file))
  const shown = file === null ? null : shownPath(file)
  if (yaml.faults.length > 0) {
    const faults = yaml.faults.map((fault) => ({
      ...at(shown!, fault.line, fault.column),
      path: '',
      message: `This is not YAML that can be read: ${fault.message}`,
      fix: 'Mend the syntax; the other checks follow then.',
    }))
    return { ok: false, faults, warnings: [] }
  }
  const queues = queueNames(yaml.given)
  const { overrides, warnings } = environmentOverrides(environment.twins, queues)
  const all = [...overrides, ...flagOverrides(flags, queues)]
  const origins = new Map(all.map((override) => [pathText(override.path), override]))
  const given = all.reduce(withOverride, yaml.given)
  const folder = file === null ? process.cwd() : dirname(resolve(file))
  const resolution = resolveOptions(given, {
    hostname: hostname(),
    folderOf: (path) => (originOf(path, origins) === null ? folder : process.cwd()),
  })
  if (resolution.ok) return { ok: true, file: shown, options: resolution.options, warnings }
  return { ok: false, faults: resolution.faults.map((fault) => locate(fault, yaml, shown, origins)), warnings }
}

export const CONFIG_FILE_DEFAULT = 'forebay.yaml'

function configFile(flags: ConfigFlags, environment: Environment): string | null {
  const named = flags.config ?? environment.config
  if (named !== undefined) return named
  return existsSync(CONFIG_FILE_DEFAULT) ? CONFIG_FILE_DEFAULT : null
}

function readConfig(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : 'cannot be read'
    throw new CommandError(EXIT.configInvalid, `The configuration file ${file} ${why}.`, {
      code: 'CONFIG_INVALID',
      fix: ['forebay init    writes a commented forebay.yaml into this folder.'],
      cause: error,
    })
  }
}

function flagOverrides(flags: ConfigFlags, queues: readonly string[]): Override[] {
  const overrides = (flags.set ?? []).map((text) => flagOverride(text, queues))
  if (flags.roles !== undefined) {
    const roles = flags.roles.split(',').map((role) => role.trim())
    overrides.push({ path: ['roles'], value: roles, origin: '--roles' })
  }
  return overrides
}

function queueNames(given: unknown): string[] {
  const queues = isRecord(given) ? given.queues : null
  return isRecord(queues) ? Object.keys(queues) : []
}

function withOverride(given: unknown, override: Override): unknown {
  return replaced(given, override.path, override.value)
}

function replaced(given: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value
  const record = isRecord(given) ? given : {}
  return { ...record, [key]: replaced(Object.hasOwn(record, key) ? record[key] : undefined, rest, value) }
}

function isRecord(given: unknown): given is Record<string, unknown> {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}

/** The override that a value came from: of itself, or of what holds it. The last one set wins. */
function originOf(path: Path, origins: ReadonlyMap<string, Override>): Override | null {
  for (let length = path.length; length > 0; length--) {
    const override = origins.get(pathText(path.slice(0, length)))
    if (override !== undefined) return override
  }
  return null
}

function locate(
  fault: Fault,
  yaml: YamlFile,
  file: string | null,
  origins: ReadonlyMap<string, Override>,
): LocatedFault {
  const said = { path: fault.path.join('.'), message: fault.message, fix: fault.fix }
  const override = originOf(fault.path, origins)
  if (override !== null) return { where: override.origin, file: null, line: null, column: null, ...said }
  if (file === null) return { where: 'the defaults', file: null, line: null, column: null, ...said }
  const { line, column } = yaml.locate(fault.path, fault.about)
  return { ...at(file, line, column), ...said }
}

function at(file: string, line: number, column: number) {
  return { where: `${file}:${line}:${column}`, file, line, column }
}

function pathText(path: Path): string {
  return JSON.stringify(path.map(String))
}

function shownPath(file: string): string {
  const short = relative(process.cwd(), file)
  return short === '' || short.startsWith('..') ? file : short
}

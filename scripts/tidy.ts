import { ERRORS } from '@forebay/protocol'
import { findCycle, importsOf, resolveImport } from './tidy-imports.ts'

/** Files of the repository by their path from its root. */
export type Tree = ReadonlyMap<string, string>

/** What is untidy, one line each: 'path:line rule'. Rules that people would otherwise have to remember. */
export function untidy(tree: Tree): string[] {
  const faults: string[] = []
  for (const [path, text] of tree) {
    if (!isOurs(path)) continue
    faults.push(...lengthFaults(path, text), ...lineFaults(path, text), ...importFaults(path, text))
  }
  return [...faults, ...cycleFaults(tree), ...deadFiles(tree), ...undocumentedErrors(tree)].sort()
}

const LINES_MAX = 450
/** Who may import whom, by package name; itself always. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  broker: ['protocol'],
  server: ['protocol', 'broker'],
  sdk: ['protocol', 'broker'],
  events: ['protocol', 'broker', 'server'],
  edge: ['protocol', 'broker'],
  cli: ['protocol', 'broker', 'server', 'sdk', 'events', 'edge'],
}

interface LineRule {
  readonly pattern: RegExp
  readonly says: string
  readonly where: (path: string) => boolean
  /** Comments count as well. */
  readonly inComments?: boolean
}

const inSource = (path: string) => /^packages\/\w+\/src\//.test(path)
/** Suites that adapters run from their tests. */
const isContract = (path: string) => path.includes('/contract/')
const anywhere = () => true

/** Spelt in pieces where this file would otherwise find itself. */
const LINE_RULES: readonly LineRule[] = [
  { pattern: /\b(test|it|describe|suite)\.only\b|\bonly: true\b/, says: 'a stray .only', where: anywhere },
  {
    pattern: /\b(test|it|describe|suite)\.(skip|todo)\(/,
    says: "a skip without its reason: write { skip: 'why' }",
    where: anywhere,
  },
  { pattern: /\bskip: true\b/, says: "a skip without its reason: write skip: 'why'", where: anywhere },
  {
    pattern: new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|XXX)\\b`),
    says: 'open ends belong in an issue',
    where: anywhere,
    inComments: true,
  },
  {
    pattern: /\bconsole\.\w+\(/,
    says: 'packages log through their telemetry',
    where: (path) => inSource(path) && path !== 'packages/sdk/src/worker/events.ts',
  },
  {
    pattern: /\b(Date\.now|Math\.random|performance\.now)\(|(?<![.\w])(setTimeout|setInterval)\(/,
    says: 'time and chance come in as Clock and Random',
    where: (path) => inSource(path) && !/^packages\/broker\/src\/(clock|random)\.ts$/.test(path) && !isContract(path),
  },
  {
    pattern: /\bprocess\.env\b/,
    says: 'only packages/cli/src/environment.ts reads the environment',
    where: (path) => inSource(path) && path !== 'packages/cli/src/environment.ts' && !isContract(path),
  },
  {
    pattern: /\bprocess\.(on|once)\(\s*['"]SIG/,
    says: 'only the command handles signals',
    where: (path) => inSource(path) && !path.startsWith('packages/cli/'),
  },
  { pattern: /^export \* from/, says: 'a barrel: name what is exported', where: anywhere },
  { pattern: /@ts-ignore|@ts-nocheck/, says: 'a type error that is hidden', where: anywhere },
]

function isOurs(path: string): boolean {
  return /\.(ts|mjs)$/.test(path) && !path.includes('/gen/') && !path.startsWith('bench/diy/')
}

function lengthFaults(path: string, text: string): string[] {
  const lines = text.split('\n').length - 1
  return lines > LINES_MAX ? [`${path}:${LINES_MAX} ${lines} lines: look for the second idea`] : []
}

function lineFaults(path: string, text: string): string[] {
  if (path.startsWith('scripts/tidy') || path.startsWith('scripts/test/tidy')) return []
  const rules = LINE_RULES.filter((rule) => rule.where(path))
  return text.split('\n').flatMap((line, index) => {
    const code = line.replace(/^\s*(\/\/|\*|\/\*\*).*$/, '')
    const broken = rules.filter(({ pattern, inComments }) => pattern.test(inComments ? line : code))
    return broken.map(({ says }) => `${path}:${index + 1} ${says}`)
  })
}

function importFaults(path: string, text: string): string[] {
  const faults: string[] = []
  const [, own] = /^packages\/(\w+)\/src\//.exec(path) ?? []
  const isDoor = /^packages\/\w+\/src\/index\.ts$/.test(path)
  if (/(^|\/)index\.ts$/.test(path) && !isDoor) faults.push(`${path}:1 index.ts stands only at a package's front door`)
  if (own === undefined) return faults
  for (const { specifier, line } of importsOf(text)) {
    const target = specifier === 'forebay' ? 'cli' : /^@forebay\/(\w+)/.exec(specifier)?.[1]
    if (target !== undefined && target !== own && !MAY_IMPORT[own]?.includes(target)) {
      faults.push(`${path}:${line} ${own} must not import ${target}`)
    }
    if (specifier.startsWith('.') && !resolveImport(path, specifier).startsWith(`packages/${own}/`)) {
      faults.push(`${path}:${line} reaches into another package past its door`)
    }
  }
  return faults
}

function cycleFaults(tree: Tree): string[] {
  const sources = [...tree].filter(([path]) => isOurs(path) && inSource(path))
  const cycle = findCycle(new Map(sources))
  return cycle === null ? [] : [`${cycle[0]}:1 imports itself: ${cycle.join(' → ')}`]
}

/** A source file that nothing imports and that no other file names. */
function deadFiles(tree: Tree): string[] {
  const reached = new Set<string>()
  for (const [path, text] of tree) {
    if (isOurs(path)) for (const { specifier } of importsOf(text)) reached.add(resolveImport(path, specifier))
  }
  const dead = [...tree.keys()].filter((path) => {
    if (!isOurs(path) || path.endsWith('.test.ts') || reached.has(path)) return false
    const name = path.split('/').at(-1)!
    return ![...tree].some(([other, text]) => other !== path && !other.endsWith('.md') && text.includes(name))
  })
  return dead.map((path) => `${path}:1 nothing imports it`)
}

function undocumentedErrors(tree: Tree): string[] {
  const page = tree.get('docs/errors.md') ?? ''
  const missing = Object.keys(ERRORS).filter((code) => !page.includes(`\`${code}\``))
  return missing.map((code) => `docs/errors.md:1 ${code} is not documented`)
}

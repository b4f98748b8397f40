import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** As V8 writes it with --cpu-prof. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** For each profile of these files and folders: the functions in which most time was spent, with file:line. */
export function printProfiles(paths: readonly string[]): boolean {
  for (const file of paths.flatMap(profilesOf)) {
    const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
    const self = selfTimes(profile)
    const total = sum(self.values())
    const idle = self.get('(idle)') ?? 0
    const entry = entryOf(profile)
    if (total - idle < BUSY_US_MIN) continue
    console.log(
      `\n${file}\n${entry}: busy ${(((total - idle) / total) * 100).toFixed(0)} % of ${(total / 1e6).toFixed(1)} s`,
    )
    for (const [what, took] of top(self)) console.log(`  ${percent(took, total - idle)}  ${what}`)
    console.log('  with all that they call (ours):')
    const own = [...totalTimes(profile)].filter(([name]) => / {2}(packages|bench)\//.test(name))
    for (const [what, took] of top(new Map(own))) console.log(`  ${percent(took, total - idle)}  ${what}`)
    console.log('  by file:')
    for (const [what, took] of top(byFile(self))) console.log(`  ${percent(took, total - idle)}  ${what}`)
  }
  return true
}

const SHOWN = 30
const BUSY_US_MIN = 100_000
const ROOT = fileURLToPath(new URL('..', import.meta.url))

function profilesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => join(path, name))
}

function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const nameById = new Map(nodes.map(({ id, callFrame }) => [id, frameName(callFrame)]))
  const times = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const name = nameById.get(id)!
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return times
}

/** Of each function, the time in it and in what it called; a function that calls itself counts once. */
function totalTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const own = new Map<number, number>()
  for (const [index, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + (timeDeltas[index] ?? 0))
  const nodeById = new Map(nodes.map((node) => [node.id, node]))
  const times = new Map<string, number>()
  const visit = (id: number, above: ReadonlySet<string>): number => {
    const node = nodeById.get(id)!
    const name = frameName(node.callFrame)
    const within = new Set(above).add(name)
    let took = own.get(id) ?? 0
    for (const child of node.children ?? []) took += visit(child, within)
    if (!above.has(name)) times.set(name, (times.get(name) ?? 0) + took)
    return took
  }
  visit(nodes[0]!.id, new Set())
  return times
}

function frameName({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName
  const file = url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url
  return `${functionName || '(anonymous)'}  ${file}:${lineNumber + 1}`
}

function byFile(self: ReadonlyMap<string, number>): Map<string, number> {
  const times = new Map<string, number>()
  for (const [name, took] of self) {
    const file = / {2}(.*):\d+$/.exec(name)?.[1] ?? name
    times.set(file, (times.get(file) ?? 0) + took)
  }
  return times
}

/** Which of our programs it was: the one main file among the frames. */
function entryOf({ nodes }: CpuProfile): string {
  const entry = nodes.find(({ callFrame }) => /(cli\/src\/main|-worker|worker\/.*thread.*)\.ts$/.test(callFrame.url))
  return entry ? relative(ROOT, fileURLToPath(entry.callFrame.url)) : 'a thread'
}

function top(times: ReadonlyMap<string, number>): [string, number][] {
  return [...times]
    .filter(([name]) => name !== '(idle)')
    .sort(([, one], [, other]) => other - one)
    .slice(0, SHOWN)
}

const percent = (took: number, total: number) => `${((took / total) * 100).toFixed(1).padStart(5)} %`

function sum(figures: Iterable<number>): number {
  let total = 0
  for (const figure of figures) total += figure
  return total
}

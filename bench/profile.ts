import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** As V8 writes it with --cpu-prof. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

/**
 * For each profile of these files and folders, where its time went: by file of ours together with what it uses of Node
 * and libraries, by function of ours with all that it calls, by function alone. With the number of tasks done, in µs a
 * task as well. A sample also counts time in which the thread waited for a core: compare shares rather than sums.
 */
export function printProfiles(paths: readonly string[], tasks: number | null): boolean {
  for (const file of paths.flatMap(profilesOf)) {
    const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
    const times = timesOf(profile)
    const total = sum(times.alone.values())
    const busy = total - (times.alone.get(IDLE) ?? 0)
    if (busy < BUSY_US_MIN) continue
    const share = `${((busy / total) * 100).toFixed(0)} % of ${(total / 1e6).toFixed(1)} s`
    console.log(`\n${file}\n${programOf(profile)}: busy ${share}`)
    for (const [title, by] of [
      ['by file of ours, with what it uses', times.byOwner],
      ['by function of ours, with all that it calls', times.withCallees],
      ['by function alone', times.alone],
    ] as const) {
      console.log(`  ${title}:`)
      for (const [what, took] of top(by)) {
        const cost = tasks === null ? '' : `${(took / tasks).toFixed(1).padStart(8)} µs`
        console.log(`  ${((took / busy) * 100).toFixed(1).padStart(5)} %${cost}  ${what}`)
      }
    }
  }
  return true
}

const SHOWN = 30
const BUSY_US_MIN = 100_000
const IDLE = '(idle)'
const ROOT = fileURLToPath(new URL('..', import.meta.url))

function profilesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => join(path, name))
}

/** All in µs. */
interface Times {
  /** In the function itself. */
  readonly alone: Map<string, number>
  /** Functions of ours with what they call; one that calls itself counts once. */
  readonly withCallees: Map<string, number>
  /** Each sample belongs to the nearest file of ours on its stack; without one, to the function at its root. */
  readonly byOwner: Map<string, number>
}

function timesOf({ nodes, samples, timeDeltas }: CpuProfile): Times {
  const nodeById = new Map(nodes.map((node) => [node.id, node]))
  const tookById = new Map<number, number>()
  for (const [index, id] of samples.entries()) add(tookById, id, timeDeltas[index] ?? 0)

  const times: Times = { alone: new Map(), withCallees: new Map(), byOwner: new Map() }
  const visit = (node: ProfileNode, owner: string | null, above: ReadonlySet<string>): number => {
    const name = nameOf(node)
    const ours = ourFile(node)
    const ownerHere = ours ?? owner ?? (name === '(root)' ? null : name)
    const own = tookById.get(node.id) ?? 0
    add(times.alone, name, own)
    add(times.byOwner, isOfTheMachine(node) ? name : (ownerHere ?? name), own)
    const within = new Set(above).add(name)
    let all = own
    for (const child of node.children ?? []) all += visit(nodeById.get(child)!, ownerHere, within)
    if (ours !== null && !above.has(name)) add(times.withCallees, name, all)
    return all
  }
  visit(nodes[0]!, null, new Set())
  return times
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const name = functionName || '(anonymous)'
  if (url === '') return name
  return `${name}  ${url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url}:${lineNumber + 1}`
}

function ourFile({ callFrame: { url } }: ProfileNode): string | null {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return null
  return relative(ROOT, fileURLToPath(url))
}

/** (garbage collector), (program), (idle): nobody's call. */
function isOfTheMachine({ callFrame: { url, functionName } }: ProfileNode): boolean {
  return url === '' && functionName.startsWith('(')
}

/** Which of our programs it was; threads have no main file among their frames. */
function programOf({ nodes }: CpuProfile): string {
  const main = nodes.find(({ callFrame }) => /(\/cli\/src\/main|-worker|-thread)\.ts$/.test(callFrame.url))
  return main ? relative(ROOT, fileURLToPath(main.callFrame.url)) : 'a thread'
}

function top(times: ReadonlyMap<string, number>): [string, number][] {
  const busy = [...times].filter(([name, took]) => name !== IDLE && took > 0)
  return busy.sort(([, one], [, other]) => other - one).slice(0, SHOWN)
}

function add<Key>(times: Map<Key, number>, key: Key, took: number): void {
  times.set(key, (times.get(key) ?? 0) + took)
}

function sum(figures: Iterable<number>): number {
  let total = 0
  for (const figure of figures) total += figure
  return total
}

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { isDebianRoot, refreshLists } from '../../scripts/rig/debian.ts'

export interface PackageIndex {
  /** Where the records come from, for the reader of the output. */
  readonly source: string
  /** Descriptions by package name. */
  readonly descriptions: ReadonlyMap<string, string>
}

/**
 * The first `count` packages that Debian's archive has, from the lists that apt keeps on this machine. Where it keeps
 * none, they are fetched (as root), or what dpkg itself knows is taken, which may be fewer.
 */
export async function readPackageIndex(count: number): Promise<PackageIndex> {
  if (packageLists().length === 0 && isDebianRoot()) await refreshLists()
  const descriptions = new Map<string, string>()
  let read = 0
  for (const list of packageLists()) {
    if (descriptions.size >= count) break
    // apt knows each compression that it may have kept a list in.
    await readControlFile([APT_HELPER, 'cat-file', join(LISTS, list)], count, descriptions)
    read++
  }
  if (descriptions.size > 0) return { source: `${LISTS} (${read} of its package lists)`, descriptions }
  await readControlFile(['apt-cache', 'dumpavail'], count, descriptions)
  if (descriptions.size > 0) return { source: 'apt-cache dumpavail', descriptions }
  await readControlFile(['cat', DPKG_STATUS], count, descriptions)
  return { source: DPKG_STATUS, descriptions }
}

const LISTS = '/var/lib/apt/lists'
const APT_HELPER = '/usr/lib/apt/apt-helper'
const DPKG_STATUS = '/var/lib/dpkg/status'

/** The big list first, so that a slice of it comes from one file. */
function packageLists(): string[] {
  if (!existsSync(LISTS) || !existsSync(APT_HELPER)) return []
  return readdirSync(LISTS)
    .filter((name) => /_Packages(\.\w+)?$/.test(name))
    .sort((one, other) => Number(/security|updates/.test(one)) - Number(/security|updates/.test(other)))
}

/** Reads what the command prints: paragraphs of 'Field: value' lines. Ends the command when it has enough. */
async function readControlFile(command: readonly string[], count: number, into: Map<string, string>): Promise<void> {
  const [program, ...args] = command
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  child.once('error', () => {})
  let name: string | null = null
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('Package: ')) name = line.slice('Package: '.length)
    else if (line.startsWith('Description: ') && name !== null) into.set(name, line.slice('Description: '.length))
    if (into.size >= count) break
  }
  child.kill()
}

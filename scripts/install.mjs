// Plain JavaScript, as it runs before the pinned Node is there: on whatever Node ≥ 20 the machine has.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
/** The Node that everything runs with: the npm package `node`, whatever the machine's own is. */
export const node = `${root}node_modules/.bin/node`

/** Installs what is missing or older than the lock file; returns when node_modules is what the lock file says. */
export function install() {
  requireOldestNode()
  if (!isFresh()) npmCi()
  const faults = installFaults()
  if (faults.length > 0) {
    fail(
      `node_modules is not what package-lock.json says:\n  ${faults.join('\n  ')}\nRemove node_modules and try again.`,
    )
  }
}

const NODE_MAJOR_MIN = 20

function requireOldestNode() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < NODE_MAJOR_MIN)
    fail(`Node ${process.versions.node} is too old to install with: ${NODE_MAJOR_MIN} or newer is needed.`)
}

/** npm writes its own lock file into node_modules at the end of an install. */
function isFresh() {
  const installed = `${root}node_modules/.package-lock.json`
  if (!existsSync(installed) || !existsSync(node)) return false
  return statSync(installed).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs || installFaults().length === 0
}

function npmCi() {
  process.stderr.write('Installing packages…\n')
  const command = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  fail(`npm ci failed${error ? `: ${error.message}` : ''}.\n${stdout ?? ''}${stderr ?? ''}`)
}

/** npm under an old Node may pick older packages by their `engines`; then what runs is not what was tested. */
function installFaults() {
  const { packages } = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8'))
  const faults = []
  for (const [path, wanted] of Object.entries(packages)) {
    if (!path.startsWith('node_modules/') || wanted.link) continue
    const installed = versionOf(`${root}${path}/package.json`)
    if (installed === null ? !wanted.optional : installed !== wanted.version) {
      faults.push(`${path.slice('node_modules/'.length)}: wanted ${wanted.version}, found ${installed ?? 'none'}`)
    }
  }
  const pinned = packages['node_modules/node'].version
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  if (stdout?.trim() !== `v${pinned}`)
    faults.push(`node: wanted v${pinned}, ${node} says ${stdout?.trim() || 'nothing'}`)
  return faults
}

function versionOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).version
  } catch {
    return null
  }
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

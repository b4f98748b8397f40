// node scripts/run.mjs FILE ARGS: installs what is missing, then runs a TypeScript file with the pinned Node.
import { spawn } from 'node:child_process'
import { constants, homedir } from 'node:os'
import { join } from 'node:path'
import { install, node, root } from './install.mjs'

const [file, ...args] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('Which file? node scripts/run.mjs FILE ARGS\n')
  process.exit(2)
}
install()
// Modules whose types are stripped once for all start a command in half the time, and a test run starts hundreds.
process.env.NODE_COMPILE_CACHE ??= join(homedir(), '.cache/forebay/compiled')
const child = spawn(node, [file, ...args], { cwd: root, stdio: 'inherit' })
// A terminal sends Ctrl-C to the child as well; what a supervisor sends only here is handed on. The child decides.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))

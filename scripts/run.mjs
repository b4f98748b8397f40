// node scripts/run.mjs FILE ARGS: installs what is missing, then runs a TypeScript file with the pinned Node.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { install, node, root } from './install.mjs'

const [file, ...args] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('Which file? node scripts/run.mjs FILE ARGS\n')
  process.exit(2)
}
install()
const child = spawn(node, [file, ...args], { cwd: root, stdio: 'inherit' })
// A terminal sends Ctrl-C to the child as well; what a supervisor sends only here is handed on. The child decides.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))

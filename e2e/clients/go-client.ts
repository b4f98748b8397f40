import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { requireCommand } from '../../scripts/rig/debian.ts'
import { PROTO_FOLDER, TASK_PROTO } from './scene.ts'

const run = promisify(execFile)
const SOURCE = join(import.meta.dirname, 'go')
const FILES = ['main.go', 'tools.go', 'go.mod', 'go.sum']
const BUF = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url))
const PLUGINS = ['google.golang.org/protobuf/cmd/protoc-gen-go', 'google.golang.org/grpc/cmd/protoc-gen-go-grpc']
/** Where Go's own archive puts it, which is not on everybody's path. */
const PATH = [process.env.PATH, '/usr/local/go/bin'].join(delimiter)

/** Compiled plainly, in two thirds of the time; all with the same words, so that Go's own library is compiled once. */
export const GO_QUICK: readonly string[] = ['-gcflags=all=-N -l', '-ldflags=-s -w']

/**
 * The client of go/main.go as a program, with code generated from our .proto: built outside the checkout, and found there
 * as long as nothing that goes into it changes. The first time it takes a minute or so.
 */
export async function goClient(): Promise<string> {
  await run('go', ['version'], { env: environment() }).catch(() => requireCommand('go', 'golang-go'))
  const { stdout: version } = await run('go', ['version'], { env: environment() })
  const inputs = [...FILES.map((file) => join(SOURCE, file)), join(PROTO_FOLDER, TASK_PROTO)]
  const texts = await Promise.all(inputs.map((file) => readFile(file, 'utf8')))
  const name = createHash('sha256')
    .update(JSON.stringify([version, texts]))
    .digest('hex')
    .slice(0, 12)
  const folder = join(homedir(), '.cache/forebay/go')
  const program = join(folder, `client-${name}`)
  if (existsSync(program)) return program
  await mkdir(folder, { recursive: true })
  const work = await mkdtemp(join(folder, 'build-'))
  try {
    for (const file of FILES) await copyFile(join(SOURCE, file), join(work, file))
    await go(work, ['build', ...GO_QUICK, '-o', `${work}/bin/`, ...PLUGINS])
    await generate(work)
    await go(work, ['build', ...GO_QUICK, '-o', 'client', '.'])
    await rename(join(work, 'client'), program)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return program
}

async function generate(work: string): Promise<void> {
  const opt = ['module=forebay-go-client', `M${TASK_PROTO}=forebay-go-client/taskpb`]
  const plugins = PLUGINS.map((plugin) => ({ local: join(work, 'bin', plugin.split('/').at(-1)!), out: work, opt }))
  const template = JSON.stringify({ version: 'v2', plugins })
  await run(BUF, ['generate', PROTO_FOLDER, '--template', template, '--path', join(PROTO_FOLDER, TASK_PROTO)])
}

async function go(cwd: string, args: readonly string[]): Promise<void> {
  await run('go', [...args], { cwd, env: environment() })
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH, CGO_ENABLED: '0' }
}

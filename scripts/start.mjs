// npm start: Forebay on the embedded log, and a sample worker beside it, until Ctrl-C.
import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { install, node, root } from './install.mjs'

/** Under npm one Ctrl-C comes twice: from the terminal and from npm. */
const SAME_KEYPRESS_MS = 300

install()
const http = await listenAddress('FOREBAY_HTTP_LISTEN', '127.0.0.1:8080', [])
const grpc = await listenAddress('FOREBAY_GRPC_LISTEN', '127.0.0.1:8081', [http])
const env = { FOREBAY_DATA: `${root}.forebay`, ...process.env, FOREBAY_HTTP_LISTEN: http, FOREBAY_GRPC_LISTEN: grpc }
let stopping = false
const children = []
forwardSignals()
// Whatever ends this process, a fault of its own too, ends those it started.
process.on('exit', () => {
  for (const { child } of children) child.kill('SIGTERM')
})
start('forebay', ['packages/cli/src/main.ts', 'up', '--config', 'examples/hello/forebay.yaml'])
if ((await answers(grpc)) && !stopping) start('worker', ['examples/hello/worker.ts', grpc])
const codes = await Promise.all(children.map(({ ended }) => ended))
process.exit(codes.find((code) => code !== 0) ?? 0)

/**
 * Each child is in a process group of its own, so that a signal reaches it once, from here: a terminal would send
 * Ctrl-C to everybody, and npm once more, and a second one means "at once".
 */
function start(name, args) {
  const child = spawn(node, args, { cwd: root, env, stdio: 'inherit', detached: true })
  const ended = new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      if (code !== 0) process.stderr.write(`${name} ended with ${signal ?? `exit code ${code}`}.\n`)
      if (!stopping) for (const other of children) if (other.child !== child) other.child.kill('SIGTERM')
      stopping = true
      resolve(code ?? 1)
    })
  })
  children.push({ child, ended })
}

function forwardSignals() {
  let lastMs = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      const nowMs = performance.now()
      if (nowMs - lastMs < SAME_KEYPRESS_MS) return
      lastMs = nowMs
      stopping = true
      for (const { child } of children) child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
    })
  }
}

/** Whether somebody listens there, at last; false when Forebay has ended instead. */
async function answers(address) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address)
  while (children[0].child.exitCode === null && children[0].child.signalCode === null) {
    const socket = connect(Number(port), host)
    const connected = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (connected) return true
    await sleep(50)
  }
  return false
}

/** What the environment says, else the usual port, else a free one. */
async function listenAddress(variable, usual, taken) {
  const named = process.env[variable]
  if (named) return named
  const [host, port] = usual.split(':')
  if (!taken.includes(usual) && (await isFree(host, Number(port)))) return usual
  const free = `${host}:${await freePort(host)}`
  process.stderr.write(`Port ${port} is taken; using ${free}.\n`)
  return free
}

function isFree(host, port) {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}

function freePort(host) {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, host, () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

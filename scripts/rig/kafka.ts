import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { makeCertificate } from './certificate.ts'
import { installKafka } from './install-kafka.ts'
import { freePort } from './process.ts'

export interface KafkaOptions {
  /** Default 1; each takes about half a gigabyte of memory. */
  readonly brokers?: 1 | 3
  /** Of the first broker; the others get free ones. Default: a free port. */
  readonly port?: number
  /** Kept at the end, and used again when it has data. Default: a temporary folder, removed at the end. */
  readonly dataDir?: string
  /** A second listener of the first broker: TLS, and SCRAM for whoever comes. Default: none. */
  readonly secure?: boolean
  /** Default: the one that everything is tested with. */
  readonly version?: string
  /** Further server properties; they win over ours. */
  readonly extra?: Readonly<Record<string, string>>
}

/** A real Kafka in KRaft mode on loopback. It ends with the process that started it, however that one ends. */
export interface Kafka extends AsyncDisposable {
  /** host:port of each broker, with commas. */
  readonly bootstrap: string
  /** Of the secure listener, where there is one. */
  readonly secure: SecureListener | null
  /** Process ids of the brokers that run. */
  readonly pids: readonly number[]
  /** Asks the brokers to end and waits for it. Without an index: all of them. */
  stop(index?: number): Promise<void>
  /** SIGKILL, and waits for the end. */
  kill(index?: number): Promise<void>
  /** SIGSTOP: alive for the network, dead for its peers. */
  pause(index?: number): void
  resume(index?: number): void
  /** Starts those that don't run, on the same ports and data, and waits until they answer. */
  restart(): Promise<void>
}

export interface SecureListener {
  readonly bootstrap: string
  /** File of the certificate that vouches for the broker, as 127.0.0.1. PEM */
  readonly ca: string
  /** By SCRAM-SHA-512. */
  readonly username: string
  readonly password: string
}

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const jars = await installKafka(options.version)
  const count = options.brokers ?? 1
  const data = resolve(options.dataDir ?? (await mkdtemp(join(tmpdir(), 'forebay-kafka-'))))
  const ports = await freePorts(count * 2 + 1)
  if (options.port !== undefined) ports[0] = options.port
  const nodes = Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    port: ports[index]!,
    controllerPort: ports[count + index]!,
    dir: join(data, `broker-${index + 1}`),
  }))
  const secure = options.secure === true ? await makeSecure(nodes[0]!, ports.at(-1)!) : null
  const remover = options.dataDir === undefined ? startRemover(data) : null
  const running: (Server | null)[] = nodes.map(() => null)
  const start = async (index: number) => {
    const server = await startServer(jars, nodes[index]!)
    running[index] = server
    await waitUntilAnswers(server, nodes[index]!, count)
  }
  const each = (index: number | undefined, act: (server: Server) => unknown) =>
    Promise.all(running.filter((server, at) => server && (index ?? at) === at).map((server) => act(server!)))
  const end = async (signal: NodeJS.Signals, index?: number) => {
    await each(index, (server) => server.end(signal))
    for (const at of nodes.keys()) if ((index ?? at) === at) running[at] = null
  }
  const close = async () => {
    await end('SIGKILL')
    remover?.stdin?.end()
    if (remover && remover.exitCode === null) await once(remover, 'exit')
  }

  try {
    await Promise.all(
      nodes.map((node) => format(jars, node, nodes, secure?.node === node ? secure : null, options.extra ?? {})),
    )
    await Promise.all(nodes.map((_, index) => start(index)))
  } catch (error) {
    await close()
    throw error
  }
  return {
    bootstrap: nodes.map((node) => `127.0.0.1:${node.port}`).join(','),
    secure: secure?.listener ?? null,
    get pids() {
      return running.flatMap((server) => server?.pid ?? [])
    },
    stop: (index) => end('SIGTERM', index),
    kill: (index) => end('SIGKILL', index),
    pause: (index) => void each(index, (server) => process.kill(server.pid, 'SIGSTOP')),
    resume: (index) => void each(index, (server) => process.kill(server.pid, 'SIGCONT')),
    async restart() {
      await Promise.all(running.map((server, index) => (server ? null : start(index))))
    },
    [Symbol.asyncDispose]: close,
  }
}

/** The Kafka of this test run when there is one (host:port in FOREBAY_TEST_KAFKA), else one of its own. */
export async function useKafka(): Promise<AsyncDisposable & { readonly bootstrap: string }> {
  const shared = process.env.FOREBAY_TEST_KAFKA
  if (!shared) return startKafka()
  return { bootstrap: shared, [Symbol.asyncDispose]: async () => {} }
}

interface Node {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
  readonly dir: string
}

interface Server {
  readonly pid: number
  readonly ended: boolean
  end(signal: NodeJS.Signals): Promise<void>
}

const READY_WITHIN_MS = 60_000
const END_WITHIN_MS = 20_000
/** Any valid one will do; a fixed one lets a kept folder be used again. */
const CLUSTER_ID = 'Rm9yZWJheVJpZ0thZmthMQ'

interface Secure {
  readonly node: Node
  readonly listener: SecureListener
  readonly properties: Readonly<Record<string, string>>
}

async function makeSecure(node: Node, port: number): Promise<Secure> {
  await mkdir(node.dir, { recursive: true })
  const [certificate, key, both] = ['server.crt', 'server.key', 'server.pem'].map((name) => join(node.dir, name))
  await makeCertificate({ certificate: certificate!, key: key! }, ['127.0.0.1'])
  await writeFile(both!, `${await readFile(key!, 'utf8')}${await readFile(certificate!, 'utf8')}`)
  const open = propertiesOf(node, [node])
  return {
    node,
    listener: { bootstrap: `127.0.0.1:${port}`, ca: certificate!, username: 'rig', password: 'rig-password' },
    properties: {
      listeners: `${open.listeners},SECURE://127.0.0.1:${port}`,
      'advertised.listeners': `${open['advertised.listeners']},SECURE://127.0.0.1:${port}`,
      'listener.security.protocol.map': `${open['listener.security.protocol.map']},SECURE:SASL_SSL`,
      'sasl.enabled.mechanisms': 'SCRAM-SHA-512',
      'listener.name.secure.scram-sha-512.sasl.jaas.config':
        'org.apache.kafka.common.security.scram.ScramLoginModule required;',
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': both!,
    },
  }
}

async function format(
  jars: string,
  node: Node,
  nodes: readonly Node[],
  secure: Secure | null,
  extra: Record<string, string>,
): Promise<void> {
  await mkdir(node.dir, { recursive: true })
  const file = join(node.dir, 'server.properties')
  const lines = Object.entries({ ...propertiesOf(node, nodes), ...secure?.properties, ...extra }).map(
    ([name, value]) => `${name}=${value}`,
  )
  await writeFile(file, `${lines.join('\n')}\n`)
  const args = ['format', '-t', CLUSTER_ID, '-c', file, '--ignore-formatted']
  if (secure !== null) {
    const { username, password } = secure.listener
    args.push('--add-scram', `SCRAM-SHA-512=[name=${username},password=${password}]`)
  }
  const child = spawn('java', [...QUICK, '-cp', join(jars, '*'), 'kafka.tools.StorageTool', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk) => (complaint += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`Kafka's StorageTool ended with ${code}: ${complaint.slice(-2000)}`)
}

function propertiesOf(node: Node, nodes: readonly Node[]): Record<string, string> {
  const replicas = String(nodes.length)
  const inSync = nodes.length === 1 ? '1' : '2'
  return {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': nodes.map((one) => `${one.id}@127.0.0.1:${one.controllerPort}`).join(','),
    listeners: `PLAINTEXT://127.0.0.1:${node.port},CONTROLLER://127.0.0.1:${node.controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${node.port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': join(node.dir, 'data'),
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': '3',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '3',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': '3',
    // A lone broker that was killed may register again only when its session is over; nobody takes over meanwhile.
    ...(nodes.length === 1 ? { 'broker.session.timeout.ms': '2000', 'broker.heartbeat.interval.ms': '500' } : {}),
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '2000',
    'group.consumer.min.session.timeout.ms': '2000',
    'group.consumer.min.heartbeat.interval.ms': '200',
  }
}

/** One start of the Java machine counts more here than how fast it gets. */
const QUICK = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
const SERVER = ['-Xmx512m', '-XX:+UseSerialGC', '-Djava.awt.headless=true']

/** Reads its own end of a pipe: when that closes, whoever started us has ended, and so must the broker. */
const SUPERVISOR = `
exec 3<&0
log=$1; shift
"$@" >>"$log" 2>&1 3<&- </dev/null &
pid=$!
echo $pid
( read _ <&3; kill -9 $pid ) 2>/dev/null &
watch=$!
exec 3<&-
wait $pid
kill $watch 2>/dev/null
`

async function startServer(jars: string, node: Node): Promise<Server> {
  const log = join(node.dir, 'server.log')
  const java = ['java', ...SERVER, '-cp', join(jars, '*'), 'kafka.Kafka', join(node.dir, 'server.properties')]
  const child = spawn('sh', ['-c', SUPERVISOR, 'supervisor', log, ...java], {
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: node.dir,
  })
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)
  const [line] = await once(lines, 'line')
  const pid = Number(line)
  const exited = once(child, 'exit')
  return {
    pid,
    get ended() {
      return child.exitCode !== null || child.signalCode !== null
    },
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return
      sendSignal(pid, 'SIGCONT')
      sendSignal(pid, signal)
      const late = setTimeout(() => sendSignal(pid, 'SIGKILL'), END_WITHIN_MS)
      await exited
      clearTimeout(late)
      child.stdin.destroy()
      child.stdout.destroy()
    },
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended already.
  }
}

/** Removes the temporary folder when we close its pipe, or end in any other way. */
function startRemover(data: string): ChildProcess {
  const script = 'read _; until rm -rf "$1"; do sleep 1; done'
  return spawn('sh', ['-c', script, 'remover', data], { stdio: ['pipe', 'ignore', 'ignore'] })
}

async function waitUntilAnswers(server: Server, node: Node, brokers: number): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  while ((await brokersSeenBy(node.port)) < brokers) {
    if (server.ended || Date.now() > deadline) {
      await server.end('SIGKILL')
      const log = await readFile(join(node.dir, 'server.log'), 'utf8').catch(() => '')
      const why = server.ended ? 'ended' : `did not answer within ${READY_WITHIN_MS} ms`
      throw new Error(`Kafka on port ${node.port} ${why}: ${log.slice(-3000)}`)
    }
    await sleep(100)
  }
}

/** Metadata v1 for no topic, by hand: so that the rig needs no client. */
function brokersSeenBy(port: number): Promise<number> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    let answer: Buffer = Buffer.alloc(0)
    const finish = (seen: number) => {
      socket.destroy()
      done(seen)
    }
    socket.setTimeout(2000, () => finish(0))
    socket.on('error', () => finish(0))
    socket.on('close', () => finish(0))
    socket.on('connect', () => socket.write(Buffer.from('0000000e0003000100000001ffff00000000', 'hex')))
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length >= 12) finish(answer.readInt32BE(8))
    })
  })
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { port: { type: 'string' }, data: { type: 'string' }, brokers: { type: 'string' } },
  })
  if (positionals[0] !== 'start') {
    console.error('Usage: node scripts/rig/kafka.ts start [--port 9092] [--data DIR] [--brokers 1|3]')
    process.exitCode = 2
    return
  }
  const kafka = await startKafka({
    brokers: values.brokers === '3' ? 3 : 1,
    port: Number(values.port ?? 9092),
    ...(values.data === undefined ? {} : { dataDir: values.data }),
  })
  console.log(`Kafka is ready at ${kafka.bootstrap}; Ctrl-C ends it.`)
  const alive = setInterval(() => {}, 60_000)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      clearInterval(alive)
      await kafka.stop()
      await kafka[Symbol.asyncDispose]()
    })
  }
}

if (import.meta.main) await main()

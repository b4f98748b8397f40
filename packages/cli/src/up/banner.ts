import type { BrokerCapabilities } from '@forebay/broker'
import {
  formatAddress,
  isLoopback,
  type QueueOptions,
  type ServerOptions,
  storeAddress,
} from '@forebay/server/configuration'
import type { Terminal } from '../terminal.ts'
import { VERSION } from '../version.ts'

export interface Listening {
  readonly http: { readonly host: string; readonly port: number }
  readonly grpc: { readonly host: string; readonly port: number }
}

/** What a person needs to know and type next. */
export function sayStarted(
  terminal: Terminal,
  options: ServerOptions,
  capabilities: BrokerCapabilities,
  listening: Listening,
): void {
  const row = (name: string, text: string) => terminal.say(`  ${terminal.style('dim', name.padEnd(9))}${text}`)
  const url = urlOf(listening)
  terminal.say(`${terminal.style('bold', `forebay ${VERSION}`)}  ${[...options.roles].join(', ')}`)
  row('broker', brokerText(options, capabilities))
  row('store', storeText(options))
  if (options.roles.has('gateway')) row('gateway', terminal.style('cyan', url))
  row('workers', `${formatAddress(reachable(listening.grpc))} (gRPC)`)
  const names = [...options.queues.keys()]
  row('queues', names.length === 0 ? 'none yet: add one under `queues` in forebay.yaml' : names.join(', '))
  for (const warning of warningsOf(options)) row('note', terminal.style('yellow', warning))
  const curl = options.roles.has('gateway') ? curlLine(options, url) : null
  if (curl !== null) {
    terminal.say('')
    terminal.say(`  ${curl}`)
    terminal.say('')
  }
}

export function startedEvent(options: ServerOptions, capabilities: BrokerCapabilities, listening: Listening): object {
  return {
    event: 'started',
    version: VERSION,
    pid: process.pid,
    roles: [...options.roles],
    broker: capabilities.name,
    durability: capabilities.durability,
    store: options.store.kind,
    url: options.roles.has('gateway') ? urlOf(listening) : null,
    grpc: formatAddress(reachable(listening.grpc)),
    queues: [...options.queues.keys()],
  }
}

/** A line that works when it is pasted: for the first queue, by its own route where that needs nothing filled in. */
export function curlLine(options: ServerOptions, url: string): string | null {
  const [queue] = options.queues.values()
  if (queue === undefined) return null
  const key = queue.order === 'key' && queue.key?.from !== 'path' ? " -H 'Forebay-Key: one'" : ''
  const auth = options.auth.keys.length > 0 ? " -H 'Authorization: Bearer YOUR-KEY'" : ''
  const body = queue.schema === null ? `'"world"'` : "'{}'"
  return `curl -i ${url}${pathOf(queue)} -H 'Prefer: wait=5' -H 'Content-Type: application/json'${key}${auth} -d ${body}`
}

function pathOf({ name, route }: QueueOptions): string {
  if (route === null || route.method !== 'POST') return `/v1/queues/${name}/tasks`
  return route.path.replace(/\{[^}]*\}/g, 'one')
}

export function urlOf({ http }: Listening): string {
  return `http://${formatAddress(reachable(http))}`
}

function reachable({ host, port }: { readonly host: string; readonly port: number }) {
  return { host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port }
}

function brokerText(options: ServerOptions, { durability }: BrokerCapabilities): string {
  if (options.broker.kind === 'embedded') return `embedded log in ${options.dataDir}; ${PROFILES[durability]}`
  return `Kafka at ${options.broker.bootstrap.join(', ')}; ${PROFILES[durability]}`
}

function storeText({ store, dataDir }: ServerOptions): string {
  if (store.kind === 'embedded') return `embedded, in ${dataDir}`
  return `${store.kind === 'postgres' ? 'PostgreSQL' : 'Redis'} at ${storeAddress(store.url)}`
}

const PROFILES: Readonly<Record<BrokerCapabilities['durability'], string>> = {
  embedded: 'an acknowledged task survives a crash and the power loss of this machine',
  replicated: 'an acknowledged task survives any process and one machine',
  fsync: 'an acknowledged task survives any process, one machine, and the power loss of all',
}

function warningsOf(options: ServerOptions): string[] {
  const warnings: string[] = []
  if (options.roles.has('gateway') && options.auth.keys.length === 0 && !isLoopback(options.http.host)) {
    warnings.push(`everybody who reaches ${options.http.host} may hand in tasks: see auth.keys`)
  }
  if (options.broker.kind === 'embedded' && !options.roles.has('dispatcher')) {
    warnings.push('nobody else can read the embedded log, and this process does not dispatch: tasks stay pending')
  }
  return warnings
}

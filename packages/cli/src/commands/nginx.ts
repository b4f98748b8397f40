import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerOptions } from '@forebay/server/configuration'
import type { Command } from 'commander'
import { type Context, requireConfig, withConfigFlags } from '../context.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import {
  checkFile,
  checkServerName,
  readConnections,
  readGateway,
  readListen,
  readRate,
  readSyslog,
} from '../nginx/flags.ts'
import { type LuaFlags, readLua } from '../nginx/lua-flags.ts'
import type { GatewayAddress, NginxPlan } from '../nginx/plan.ts'
import { renderNginx } from '../nginx/render.ts'

interface NginxFlags extends LuaFlags {
  readonly config?: string
  readonly set: readonly string[]
  readonly gateway: readonly string[]
  readonly listen?: string
  readonly grpcListen: string
  readonly serverName: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly rate?: string
  readonly connections?: string
  readonly accessLog: string
  readonly syslog?: string
}

export function registerNginx(program: Command, context: Context): void {
  withConfigFlags(program.command('nginx'))
    .description('Prints a configuration of nginx for one gateway or many, each directive with its reason.')
    .option(
      '--gateway <host:port/grpcport>',
      'a gateway; may be repeated (default: the one of the configuration)',
      collect,
      [],
    )
    .option('--listen <address>', 'port, or host:port, for HTTP (default: 80, with TLS 443)')
    .option('--grpc-listen <address>', 'the same for gRPC', '50051')
    .option('--server-name <name>', 'the name that callers use', '_')
    .option('--tls-cert <file>', 'certificate with its chain, PEM')
    .option('--tls-key <file>', 'its private key, PEM')
    .option('--rate <count>', 'requests of one client address: 100r/s or 600r/m (default: no limit)')
    .option('--connections <count>', 'requests of one client address under way at once (default: no limit)')
    .option('--access-log <file>', 'where nginx writes its JSON lines; off for nowhere', '/var/log/nginx/forebay.log')
    .option('--syslog <host:port>', 'sends the same lines to a collector, by UDP (default: no)')
    .option('--lua <folder>', 'writes Lua files there; rows go to a collector by them (needs nginx with Lua)')
    .option('--no-lua-log', 'no rows by Lua, only what else it is for')
    .option('--lua-buffer <size>', 'memory for rows while the collector is away (default: 32m)')
    .option('--collector <address>', 'unix:/path or IP:port (default: the one of the configuration)')
    .option('--collector-key <file>', 'file with an access key of the collector, which the workers of nginx can read')
    .option('--log-header <name>', 'a header of requests that rows show; may be repeated', collect, [])
    .option('--log-body <which>', 'bodies of requests that rows show: none, errors or all (default: none)')
    .option('--log-body-max <size>', 'of each such body (default: 4k)')
    .option('--produce <topic>', 'takes POST /produce/TOPIC; may be repeated', collect, [])
    .option(
      '--direct-kafka <host:port>',
      'messages go to this broker without a collector; may be repeated',
      collect,
      [],
    )
    .addHelpText('after', EXAMPLES)
    .action(async (flags: NginxFlags) => {
      const plan = planOf(flags, context)
      if (plan.lua !== null) await writeLua(plan.lua.dir, context)
      context.terminal.data(renderNginx(plan).trimEnd())
    })
}

async function writeLua(dir: string, { terminal }: Context): Promise<void> {
  const { luaFiles } = await import('@forebay/edge')
  const folder = join(dir, 'forebay')
  mkdirSync(folder, { recursive: true })
  for (const { name, text } of luaFiles()) writeFileSync(join(folder, name), text)
  terminal.say(`The Lua files are in ${folder}.`)
}

const EXAMPLES = `
Examples:
  forebay nginx > /etc/nginx/conf.d/forebay.conf
  forebay nginx --gateway 10.0.0.1:8080/8081 --gateway 10.0.0.2:8080/8081 --rate 100r/s
  forebay nginx --lua /etc/nginx/forebay-lua --produce orders > /etc/nginx/conf.d/forebay.conf
  forebay nginx --server-name tasks.example.com --tls-cert fullchain.pem --tls-key key.pem

The longest wait and the largest body come from the configuration (--config), which the gateways should share.
Without a gRPC port at each gateway there is no gRPC door.`

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value]
}

function planOf(flags: NginxFlags, context: Context): NginxPlan {
  const { options } = requireConfig(context, flags)
  const { tlsCert, tlsKey } = flags
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const fix = ['Give both, or neither.']
    throw new CommandError(EXIT.usage, 'TLS needs --tls-cert and --tls-key.', { fix })
  }
  const tls =
    tlsCert === undefined ? null : { cert: checkFile('--tls-cert', tlsCert), key: checkFile('--tls-key', tlsKey!) }
  const gateways = flags.gateway.length === 0 ? [configured(options)] : flags.gateway.map(readGateway)
  const bodies = [...options.queues.values()].map((queue) => queue.bodyBytesMax)
  return {
    gateways,
    keysHold: keysHold(gateways, options, context),
    listen: readListen('--listen', flags.listen ?? (tls === null ? '80' : '443')),
    grpcListen: readListen('--grpc-listen', flags.grpcListen),
    serverName: checkServerName(flags.serverName),
    tls,
    rate: flags.rate === undefined ? null : readRate(flags.rate),
    connections: flags.connections === undefined ? null : readConnections(flags.connections),
    accessLog: checkFile('--access-log', flags.accessLog),
    syslog: flags.syslog === undefined ? null : readSyslog(flags.syslog),
    lua: readLua(flags, options),
    bodyBytesMax: Math.max(options.http.bodyBytesMax, ...bodies),
    waitMaxMs: options.http.waitMaxMs,
  }
}

/** With a store of its own each, a second gateway would make a second task of the same key. */
function keysHold(gateways: readonly GatewayAddress[], { store }: ServerOptions, { terminal }: Context): boolean {
  if (gateways.length === 1 || store.kind !== 'embedded') return true
  terminal.say(
    'These gateways have a store each (`store: embedded`), so an Idempotency-Key holds at one of them only: nginx will not send a submission twice. With `store: postgres://…` it may.',
  )
  return false
}

/** As nginx on the same machine reaches it. */
function configured({ http, grpc }: ServerOptions): GatewayAddress {
  if (http.port === 0 || grpc.port === 0) {
    const fix = ['Name each: forebay nginx --gateway 127.0.0.1:8080/8081']
    throw new CommandError(EXIT.usage, 'The configuration lets the gateway pick its port, so nobody knows it yet.', {
      fix,
    })
  }
  return { http: reachable(http), grpc: reachable(grpc) }
}

function reachable({ host, port }: { readonly host: string; readonly port: number }) {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port }
  return { host: host === '::' ? '::1' : host, port }
}

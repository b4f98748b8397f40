import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort, startProcess } from './process.ts'

/** A real nginx on a free port, with everything it writes in a temporary folder; needs no root. */
export interface NginxRig extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Its configuration, as generated. */
  readonly configFile: string
  /** What it said last; its error log. */
  output(): string
  stop(): Promise<void>
}

/** Whether this machine has nginx. Debian's package is `nginx`. */
export const hasNginx = () => existsSync(NGINX)

/** Shares requests among the upstream addresses ('host:port') in turn, over connections that it keeps open. */
export async function startNginx(upstreams: readonly string[]): Promise<NginxRig> {
  const port = await freePort()
  return run(await nginxFolder(), `http://127.0.0.1:${port}`, [port], plainConfiguration(port, upstreams))
}

/** Answers every request with 200 and a line of JSON: an upstream that costs next to nothing. */
export async function startAnsweringNginx(): Promise<NginxRig> {
  const port = await freePort()
  const server = `server { listen 127.0.0.1:${port} backlog=4096; keepalive_requests 1000000;
    location / { default_type application/json; return 200 '{"answered":true}'; } }`
  return run(await nginxFolder(), `http://127.0.0.1:${port}`, [port], server)
}

export interface GeneratedNginx extends NginxRig {
  /** host:port of its gRPC door. */
  readonly grpc: string
  /** One JSON object a line. */
  readonly accessLog: string
}

export interface GeneratedNginxOptions {
  /** More flags of `forebay nginx`. Default: a store that the gateways share. */
  readonly flags?: readonly string[]
  /** Files in PEM form; the URL is https then. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** With the Lua module, and the Lua files in its folder; `flags` say what for. */
  readonly lua?: boolean
  /** Default 1. */
  readonly workers?: number
  /** More for inside http { }. */
  readonly more?: string
}

/** With the configuration that `forebay nginx` prints for these gateways, each 'host:port'. */
export async function startGeneratedNginx(
  gateways: readonly { readonly http: string; readonly grpc: string }[],
  { flags = SHARED_STORE, tls, lua = false, workers = 1, more = '' }: GeneratedNginxOptions = {},
): Promise<GeneratedNginx> {
  const dir = await nginxFolder()
  const [port, grpcPort] = [await freePort(), await freePort()]
  const accessLog = join(dir, 'access.log')
  const own = ['--listen', `127.0.0.1:${port}`, '--grpc-listen', `127.0.0.1:${grpcPort}`, '--access-log', accessLog]
  if (lua) own.push('--lua', join(dir, 'lua'))
  const secured = tls === undefined ? [] : ['--tls-cert', tls.cert, '--tls-key', tls.key]
  const generated = await printedConfiguration(gateways, [...own, ...secured, ...flags])
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const rig = await run(dir, url, [port, grpcPort], generated + more, { lua, workers })
  return { ...rig, grpc: `127.0.0.1:${grpcPort}`, accessLog }
}

/** What `forebay nginx` prints for these gateways. */
export async function printedConfiguration(
  gateways: readonly { readonly http: string; readonly grpc: string }[],
  flags: readonly string[],
): Promise<string> {
  const named = gateways.flatMap(({ http, grpc }) => ['--gateway', `${http}/${grpc.split(':').at(-1)}`])
  const { stdout } = await execute(process.execPath, [FOREBAY, 'nginx', ...named, ...flags], { cwd: tmpdir() })
  return stdout
}

/** What nginx says of a configuration for inside http { }; rejects with its faults. */
export async function testNginx(inside: string, process: ProcessOptions = PLAIN): Promise<string> {
  const dir = await nginxFolder()
  try {
    const { stderr } = await execute(NGINX, ['-t', ...(await written(dir, inside, process))])
    return stderr
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const NGINX = '/usr/sbin/nginx'
/** Debian's `libnginx-mod-http-lua` and what it needs. */
const LUA_MODULES = ['/usr/lib/nginx/modules/ndk_http_module.so', '/usr/lib/nginx/modules/ngx_http_lua_module.so']
const FOREBAY = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
/** Nobody connects to it; several gateways behind one nginx share a store. */
const SHARED_STORE = ['--set', 'store=postgres://forebay@127.0.0.1/forebay']
const execute = promisify(execFile)

async function nginxFolder(): Promise<string> {
  if (!hasNginx()) throw new Error('nginx is not installed: apt-get install -y nginx')
  return mkdtemp(join(tmpdir(), 'forebay-nginx-'))
}

interface ProcessOptions {
  readonly lua: boolean
  readonly workers: number
}

const PLAIN: ProcessOptions = { lua: false, workers: 1 }

async function run(
  dir: string,
  url: string,
  ports: readonly number[],
  inside: string,
  process = PLAIN,
): Promise<NginxRig> {
  const args = await written(dir, inside, process)
  // Its master ends its workers only when asked to.
  const nginx = startProcess({ name: 'nginx', command: NGINX, args, deathSignal: 'TERM' })
  const stop = async () => {
    await nginx.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    for (const port of ports) await nginx.listens(port)
    return {
      ...{ url, pid: nginx.pid, configFile: join(dir, CONFIG_FILE) },
      ...{ output: () => nginx.output(), stop, [Symbol.asyncDispose]: stop },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const CONFIG_FILE = 'nginx.conf'

/** Arguments by which nginx finds the configuration. */
async function written(dir: string, inside: string, process: ProcessOptions): Promise<string[]> {
  await mkdir(join(dir, 'temp'))
  await writeFile(join(dir, CONFIG_FILE), wholeConfiguration(inside, process))
  return ['-p', dir, '-c', join(dir, CONFIG_FILE), '-e', 'stderr']
}

function wholeConfiguration(inside: string, { lua, workers }: ProcessOptions): string {
  // Only a root master may name the user of its workers, and has to, so that they can write its temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const modules = lua ? LUA_MODULES.map((file) => `load_module ${file};`).join('\n') : ''
  return `daemon off;
${user}
${modules}
worker_processes ${workers};
pid nginx.pid;
error_log stderr warn;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path temp/body;
  proxy_temp_path temp/proxy;
  fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi;
  scgi_temp_path temp/scgi;
${inside}
}
`
}

/**
 * `proxy_next_upstream off`: a POST that may have been appended must not be sent again by a proxy that knows nothing
 * of Idempotency-Key. `proxy_read_timeout` leaves room for the longest `Prefer: wait`.
 */
function plainConfiguration(port: number, upstreams: readonly string[]): string {
  return `  client_max_body_size 2m;
  client_body_buffer_size 128k;
  upstream gateways {
${upstreams.map((upstream) => `    server ${upstream} max_fails=0;`).join('\n')}
    keepalive 128;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://gateways;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout 75s;
      proxy_next_upstream off;
      proxy_buffering on;
    }
  }
`
}

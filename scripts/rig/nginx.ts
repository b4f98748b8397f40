import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, startProcess } from './process.ts'

/** A real nginx on a free port, with everything it writes in a temporary folder; needs no root. */
export interface NginxRig extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Its configuration, as generated. */
  readonly configFile: string
  stop(): Promise<void>
}

/** Whether this machine has nginx. Debian's package is `nginx`. */
export const hasNginx = () => existsSync(NGINX)

/** Shares requests among the upstream addresses ('host:port') in turn, over connections that it keeps open. */
export async function startNginx(upstreams: readonly string[]): Promise<NginxRig> {
  if (!hasNginx()) throw new Error('nginx is not installed: apt-get install -y nginx')
  const dir = await mkdtemp(join(tmpdir(), 'forebay-nginx-'))
  const port = await freePort()
  const configFile = join(dir, 'nginx.conf')
  await mkdir(join(dir, 'temp'))
  await writeFile(configFile, configuration(port, upstreams))
  const nginx = startProcess({
    name: 'nginx',
    command: NGINX,
    args: ['-p', dir, '-c', configFile, '-e', 'stderr'],
    // Its master ends its workers only when asked to.
    deathSignal: 'TERM',
  })
  const stop = async () => {
    await nginx.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await nginx.listens(port)
    return { url: `http://127.0.0.1:${port}`, pid: nginx.pid, configFile, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const NGINX = '/usr/sbin/nginx'

/**
 * `proxy_next_upstream off`: a POST that may have been appended must not be sent again by a proxy that knows nothing
 * of Idempotency-Key. `proxy_read_timeout` leaves room for the longest `Prefer: wait`.
 */
function configuration(port: number, upstreams: readonly string[]): string {
  // Only a root master may name the user of its workers, and has to, so that they can write its temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `daemon off;
${user}
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path temp/body;
  proxy_temp_path temp/proxy;
  fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi;
  scgi_temp_path temp/scgi;
  client_max_body_size 2m;
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
}
`
}

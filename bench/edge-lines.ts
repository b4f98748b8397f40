import { execFile } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { kafkaBroker } from '@forebay/broker/kafka'
import { EDGE_TOPIC, MEMBERS_DEFAULT, PARAMETERS_DEFAULT, startCollector } from '@forebay/edge'
import { startKafka } from '../scripts/rig/kafka.ts'

interface Figures {
  readonly what: string
  readonly lines: number
  readonly seconds: number
  /** User and system time of everything that carried the lines, without the broker. */
  readonly cpuSeconds: number
}

/**
 * Lines of an access log into a log: what the collector costs by itself, with the embedded log, and with Kafka beside `kcat -P`
 * on the same file, which neither reads nor checks a line.
 */
export async function edgeLines({
  lines,
  kafka,
}: {
  readonly lines: number
  readonly kafka: boolean
}): Promise<boolean> {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-edge-bench-'))
  try {
    const file = join(dir, 'access.log')
    writeLines(file, lines)
    const figures = [
      await collect('collector alone', takesAtOnce(), join(dir, 'alone'), file, lines),
      await collect(
        'collector, embedded log',
        embeddedBroker({ dir: join(dir, 'log') }),
        join(dir, 'embedded'),
        file,
        lines,
      ),
    ]
    if (kafka) {
      await using running = await startKafka()
      const broker = kafkaBroker({ bootstrap: [running.bootstrap] })
      figures.push(await collect('collector, Kafka', broker, join(dir, 'kafka'), file, lines))
      figures.push(await kcat(running.bootstrap, file, lines))
    }
    console.log(`${lines} JSON lines as nginx writes them`)
    for (const { what, seconds, cpuSeconds } of figures) {
      const perCore = Math.round(lines / cpuSeconds).toLocaleString('en')
      const perSecond = Math.round(lines / seconds).toLocaleString('en')
      console.log(`${what.padEnd(26)} ${perCore.padStart(10)} lines per CPU second ${perSecond.padStart(12)} lines/s`)
    }
    return true
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function collect(what: string, broker: Broker, dir: string, path: string, lines: number): Promise<Figures> {
  await broker.open({ topics: [{ name: EDGE_TOPIC, partitions: 1, retentionMs: 3_600_000 }] })
  const done = Promise.withResolvers<void>()
  let seen = 0
  const meters = {
    kept(_road: string, count: number) {
      seen += count
      if (seen >= lines) done.resolve()
    },
    ...{ dropped() {}, refused() {}, produced() {} },
  }
  const options = {
    ...{
      name: 'bench',
      dir,
      topic: EDGE_TOPIC,
      logsTopic: 'forebay.logs',
      files: [{ path, format: 'json' as const, from: 'start' as const }],
    },
    syslog: { udp: null, tcp: null, unix: null, format: 'json' as const },
    ...{ http: { listen: null, unix: null, keys: [] }, produce: [] },
    redact: { parameters: PARAMETERS_DEFAULT, client: 'keep' as const, members: MEMBERS_DEFAULT },
    spool: { bytesMax: 1_000_000, whenFull: 'refuse' as const },
  }
  const [beganMs, cpu] = [performance.now(), process.cpuUsage()]
  const log = { info() {}, warn: (details: object, text: string) => console.error(text, details) }
  const collector = await startCollector({ options, broker, clock: systemClock, random: systemRandom, meters, log })
  await done.promise
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - beganMs) / 1_000
  await collector.stop()
  await broker.close()
  return { what, lines, seconds, cpuSeconds: (user + system) / 1e6 }
}

/** A log that costs nothing. */
function takesAtOnce(): Broker {
  const nothing = () => Promise.reject(new Error('only publishes'))
  return {
    capabilities: {
      name: 'embedded',
      durability: 'embedded',
      shared: false,
      doneSetSurvivesRestart: true,
      recordBytesMax: 1e6,
    },
    open: () => Promise.resolve(),
    publish: () => Promise.resolve([]),
    ...{ consume: nothing, listen: nothing, inspect: nothing },
    close: () => Promise.resolve(),
  }
}

async function kcat(bootstrap: string, file: string, lines: number): Promise<Figures> {
  const producing = `kcat -P -b ${bootstrap} -t ${EDGE_TOPIC} -p 0 -X acks=all -l ${file}`
  const timed = `TIMEFORMAT='%R %U %S'; time ${producing}`
  const { stderr } = await promisify(execFile)('bash', ['-c', timed])
  const [real, user, system] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number)
  return { what: 'kcat -P, Kafka', lines, seconds: real!, cpuSeconds: user! + system! }
}

function writeLines(path: string, lines: number): void {
  const file = openSync(path, 'w')
  const batch: string[] = []
  for (let index = 0; index < lines; index++) {
    const id = (index + 1).toString(16).padStart(32, '0')
    batch.push(
      `{"nginx":1,"time":"2026-11-21T13:55:01+00:00","clock":1795269301.123,"client":"203.0.113.7","request":"POST /v1/queues/thumbnails/tasks HTTP/1.1","status":"202","upstreamStatus":"202","connectSeconds":"0.000","headerSeconds":"0.003","upstreamSeconds":"0.003","referer":"https://shop.example.com/cart","traceparent":"00-${id}-00f067aa0ba902b7-01","location":"/v1/tasks/${id}","task":"","server":"web-1","host":"tasks.example.com","requestBytes":1523,"responseBytes":412,"seconds":0.004,"upstream":"10.0.0.1:8080","tls":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","cache":"","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36","requestId":"${id}","connection":${index},"connectionRequests":1}\n`,
    )
    if (batch.length < 10_000 && index < lines - 1) continue
    writeSync(file, batch.join(''))
    batch.length = 0
  }
  closeSync(file)
}

import { createSocket } from 'node:dgram'
import { request } from 'node:http'
import { connect } from 'node:net'
import { type Broker, type Listener, systemClock, systemRandom } from '@forebay/broker'
import type { ServerOptions } from '@forebay/server'
import { CLOCK_OFF_MS_MAX, clockFinding, reachable } from './collector-checks.ts'
import { type Finding, found } from './finding.ts'
import { messageOf } from './reach.ts'

/**
 * Sends one line by each road and waits until it stands on the topic, as a row of its own kind (`probe`): the only way to
 * know of UDP, and the only one that shows the whole way. `key`: an access key, where the collector asks for one.
 */
export async function checkRoads(
  { edge, auth }: ServerOptions,
  log: Broker,
  key: string | null,
): Promise<readonly Finding[]> {
  const roads = roadsOf(edge, auth.keys.length > 0, key)
  const ready = roads.filter((road) => road.send !== null)
  const skipped = roads
    .filter((road) => road.send === null)
    .map(({ check, tried, why }) => found(check, 'skip', tried, why))
  if (ready.length === 0) return skipped
  const topics = [...new Set(ready.map(({ topic }) => topic))]
  const listeners = (await Promise.all(topics.map((topic) => listenTo(log, topic)))).flat()
  const waiting = new Map(ready.map((road) => [road.id, Promise.withResolvers<Seen>()]))
  const reading = listeners.map((listener) => look(listener, waiting))
  const findings = await Promise.all(ready.map((road) => tried(road, waiting.get(road.id)!.promise)))
  await Promise.all(listeners.map((listener) => listener.close()))
  await Promise.all(reading)
  return [...findings.flat(), ...skipped]
}

interface Road {
  readonly check: string
  readonly tried: string
  readonly topic: string
  readonly id: string
  /** Null where it cannot be tried; `why` says it. */
  readonly send: (() => Promise<void>) | null
  readonly why: string
}

interface Seen {
  /** Of the record: by the clock of the collector, or of the broker where the topic has LogAppendTime. */
  readonly timestampMs: number
}

function roadsOf({ syslog, http, name, ...edge }: ServerOptions['edge'], hasKeys: boolean, key: string | null): Road[] {
  const topic = syslog.format === 'log' ? edge.logsTopic : edge.topic
  const roads: Road[] = []
  const add = (check: string, tried: string, to: string, send: (line: string) => Promise<void>, why = '') => {
    const id = newId()
    const line = JSON.stringify({
      v: 1,
      kind: 'probe',
      time: new Date(systemClock.wallMs()).toISOString(),
      server: name,
      id,
    })
    roads.push({ check, tried, topic: to, id, send: why === '' ? () => send(line) : null, why })
  }
  if (syslog.udp !== null) {
    const { host, port } = syslog.udp
    add(
      'road udp',
      `${host}:${port}`,
      topic,
      (line) => sendDatagram(reachable(host), port, syslogOf(line)),
      unknownPort(port),
    )
  }
  if (syslog.tcp !== null) {
    const { host, port } = syslog.tcp
    const to = { host: reachable(host), port }
    add('road tcp', `${host}:${port}`, topic, (line) => sendStream(to, `${syslogOf(line)}\n`), unknownPort(port))
  }
  if (syslog.unix !== null) {
    const path = syslog.unix
    add('road syslog unix', path, topic, (line) => sendStream({ path }, `${syslogOf(line)}\n`))
  }
  const needsKey = hasKeys && key === null ? 'auth.keys are set, so give one: --key KEY' : ''
  if (http.listen !== null) {
    const { host, port } = http.listen
    const to = { host: reachable(host), port }
    add('road http', `${host}:${port}`, edge.topic, (line) => post(to, line, key), needsKey || unknownPort(port))
  }
  if (http.unix !== null) {
    const socketPath = http.unix
    add('road unix', socketPath, edge.topic, (line) => post({ socketPath }, line, key), needsKey)
  }
  return roads
}

async function tried({ check, tried: at, topic, send }: Road, seen: Promise<Seen>): Promise<readonly Finding[]> {
  const sentMs = systemClock.wallMs()
  try {
    await send!()
  } catch (error) {
    return [
      found(
        check,
        'fail',
        at,
        `the probe line cannot be sent (${messageOf(error)})`,
        'Is the collector running? forebay up --roles collector',
      ),
    ]
  }
  const patience = new AbortController()
  const late = systemClock.sleep(BACK_WITHIN_MS, patience.signal).then(
    () => null,
    () => null,
  )
  const back = await Promise.race([seen, late])
  patience.abort()
  if (back === null) {
    return [
      found(
        check,
        'fail',
        at,
        `a probe line was sent and is not on ${topic} after ${BACK_WITHIN_MS / 1_000} s`,
        'Does the collector run with this configuration, and does its log take rows (its /readyz and its own log say so)? By UDP: a firewall?',
      ),
    ]
  }
  const gotMs = systemClock.wallMs()
  const line = found(check, 'ok', at, `a probe line stands on ${topic} after ${gotMs - sentMs} ms`)
  const offMs = back.timestampMs > gotMs ? back.timestampMs - gotMs : Math.min(0, back.timestampMs - sentMs)
  return Math.abs(offMs) > CLOCK_OFF_MS_MAX ? [line, clockFinding('row clock', at, offMs)] : [line]
}

async function listenTo(log: Broker, topic: string): Promise<Listener[]> {
  const partitions = await log.inspect({ topics: [topic] })
  return Promise.all(partitions.map(({ partition }) => log.listen({ topic, partition, from: 'latest' })))
}

async function look(listener: Listener, waiting: ReadonlyMap<string, PromiseWithResolvers<Seen>>): Promise<void> {
  try {
    for await (const records of listener) {
      for (const { value, timestampMs } of records) {
        if (value === null) continue
        const text = Buffer.from(value).toString('latin1')
        // A line that the road cannot read is kept in base64.
        const [, bytes = ''] = /"kind":"undecodable".*"bytes":"([^"]*)"/.exec(text) ?? []
        const said = `${text}${Buffer.from(bytes, 'base64').toString('latin1')}`
        const id = /forebay-doctor-[0-9a-f]{24}/.exec(said)?.[0]
        if (id !== undefined) waiting.get(id)?.resolve({ timestampMs })
      }
    }
  } catch {
    // Whoever waits says that nothing came.
  }
}

function newId(): string {
  const bytes = Buffer.alloc(12)
  systemRandom.fill(bytes)
  return `forebay-doctor-${bytes.toString('hex')}`
}

function unknownPort(port: number): string {
  return port === 0 ? 'the collector picks its port, so nobody knows it' : ''
}

function syslogOf(line: string): string {
  return `<190>1 ${new Date(systemClock.wallMs()).toISOString()} - forebay-doctor - - - ${line}`
}

function sendDatagram(host: string, port: number, text: string): Promise<void> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise<void>((done, fail) => {
    socket.on('error', fail)
    socket.send(text, port, host, (error) => (error === null ? done() : fail(error)))
  }).finally(() => socket.close())
}

function sendStream(
  to: { readonly host: string; readonly port: number } | { readonly path: string },
  text: string,
): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(to)
    socket.setTimeout(SEND_WITHIN_MS, () => socket.destroy(new Error('no answer in time')))
    socket.on('error', fail)
    socket.end(text, () => done())
  })
}

function post(target: object, line: string, key: string | null): Promise<void> {
  return new Promise((done, fail) => {
    const headers = key === null ? {} : { authorization: `Bearer ${key}` }
    const sent = request({
      ...target,
      path: '/v1/edge/logs',
      method: 'POST',
      headers,
      timeout: SEND_WITHIN_MS,
      agent: false,
    })
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
    sent.on('error', fail)
    sent.on('response', (response) => {
      response.resume()
      if (response.statusCode === 202) done()
      else fail(new Error(`status ${response.statusCode}`))
    })
    sent.end(`${line}\n`)
  })
}

const SEND_WITHIN_MS = 3_000
const BACK_WITHIN_MS = 5_000

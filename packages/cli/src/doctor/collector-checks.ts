import { stat } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { systemClock } from '@forebay/broker'
import type { ServerOptions } from '@forebay/server'
import { type Finding, found } from './finding.ts'
import { messageOf, reach } from './reach.ts'

const START = 'Start it: forebay up --roles collector; or correct edge in forebay.yaml.'

/** Whether this machine reaches the doors of the collector. Syslog by UDP answers nobody: only a probe line shows it. */
export async function checkDoors({ edge }: ServerOptions): Promise<readonly Finding[]> {
  const { http, syslog } = edge
  const checks: Promise<readonly Finding[]>[] = []
  if (http.listen !== null) {
    const { listen } = http
    checks.push(
      checkHttp('collector http', `${listen.host}:${listen.port}`, { host: reachable(listen.host), port: listen.port }),
    )
  }
  if (http.unix !== null) checks.push(checkUnix('collector unix', http.unix, true))
  if (syslog.tcp !== null) checks.push(checkTcp(`${syslog.tcp.host}:${syslog.tcp.port}`, syslog.tcp))
  if (syslog.unix !== null) checks.push(checkUnix('syslog unix', syslog.unix, false))
  return (await Promise.all(checks)).flat()
}

/** As somebody on this machine reaches what listens there. */
export function reachable(host: string): string {
  return host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
}

interface Target {
  readonly host?: string
  readonly port?: number
  readonly socketPath?: string
}

async function checkHttp(check: string, tried: string, target: Target): Promise<readonly Finding[]> {
  if (target.port === 0) {
    return [
      found(check, 'skip', tried, 'the collector picks its port, so nobody knows it', 'Give edge.http.listen a port.'),
    ]
  }
  const sentMs = systemClock.wallMs()
  const answer = await livez(target)
  const gotMs = systemClock.wallMs()
  if ('why' in answer) return [found(check, 'fail', tried, `no collector answers (${answer.why})`, START)]
  if (answer.status !== 200) {
    return [found(check, 'fail', tried, `something else answers there (status ${answer.status})`, START)]
  }
  const findings = [found(check, 'ok', tried, `the collector answers in ${gotMs - sentMs} ms`)]
  // The header has whole seconds, cut off.
  const offMs = answer.dateMs > gotMs ? answer.dateMs - gotMs : Math.min(0, answer.dateMs + 1_000 - sentMs)
  if (!Number.isNaN(answer.dateMs)) findings.push(clockFinding('collector clock', tried, offMs))
  return findings
}

export function clockFinding(check: string, tried: string, offMs: number): Finding {
  const off = `${(Math.abs(offMs) / 1_000).toFixed(1)} s ${offMs > 0 ? 'ahead of' : 'behind'} this machine's`
  if (Math.abs(offMs) <= CLOCK_OFF_MS_MAX)
    return found(check, 'ok', tried, `its clock agrees with this machine's within ${CLOCK_OFF_MS_MAX / 1_000} s`)
  return found(
    check,
    'fail',
    tried,
    `its clock is ${off}`,
    'Let both keep time by NTP: timedatectl status, chronyc tracking.',
  )
}

/** Rows of two machines that are further apart can hardly be put in order. */
export const CLOCK_OFF_MS_MAX = 2_000

async function checkTcp(
  tried: string,
  address: { readonly host: string; readonly port: number },
): Promise<readonly Finding[]> {
  if (address.port === 0) {
    return [
      found(
        'syslog tcp',
        'skip',
        tried,
        'the collector picks its port, so nobody knows it',
        'Give edge.syslog.tcp a port.',
      ),
    ]
  }
  const reached = await reach({ host: reachable(address.host), port: address.port }, null)
  if (reached.kind === 'reached') return [found('syslog tcp', 'ok', tried, 'takes connections')]
  return [found('syslog tcp', 'fail', tried, `nobody takes a connection (${reached.why})`, START)]
}

async function checkUnix(check: string, path: string, isHttp: boolean): Promise<readonly Finding[]> {
  const about = await stat(path).catch((error: unknown) => messageOf(error))
  if (typeof about === 'string') return [found(check, 'fail', path, `is not there (${about})`, START)]
  if (!about.isSocket()) return [found(check, 'fail', path, 'is a file, no socket', `Remove it. ${START}`)]
  const mode = (about.mode & 0o777).toString(8).padStart(4, '0')
  const owner = `mode ${mode}, user ${about.uid}, group ${about.gid}`
  const answer = isHttp ? await livez({ socketPath: path }) : await connected(path)
  if ('why' in answer) {
    if (answer.why.includes('EACCES')) {
      const fix = `Add your user to group ${about.gid} (usermod -aG), or give its folder and the socket another group.`
      return [found(check, 'fail', path, `this user may not use it (${owner})`, fix)]
    }
    return [found(check, 'fail', path, `nobody listens behind it (${answer.why}); ${owner}`, START)]
  }
  return [
    found(
      check,
      'ok',
      path,
      `takes connections of this user; ${owner}: nginx and services need to be that user or of that group`,
    ),
  ]
}

function connected(path: string): Promise<Answer> {
  return new Promise((done) => {
    const socket = connect(path)
    socket.setTimeout(WITHIN_MS, () => socket.destroy(new Error(`no answer within ${WITHIN_MS / 1_000} s`)))
    socket.on('error', (error) => done({ why: messageOf(error) }))
    socket.on('connect', () => {
      socket.destroy()
      done({ status: 0, dateMs: Number.NaN })
    })
  })
}

type Answer = { readonly status: number; readonly dateMs: number } | { readonly why: string }

function livez(target: Target): Promise<Answer> {
  return new Promise((done) => {
    const asked = request({ ...target, path: '/livez', timeout: WITHIN_MS, agent: false })
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${WITHIN_MS / 1_000} s`)))
    asked.on('error', (error) => done({ why: messageOf(error) }))
    asked.on('response', (response) => {
      response.resume()
      done({ status: response.statusCode ?? 0, dateMs: Date.parse(response.headers.date ?? '') })
    })
    asked.end()
  })
}

const WITHIN_MS = 3_000

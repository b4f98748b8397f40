import { type Address, formatAddress, parseAddress } from '@forebay/server/configuration'
import { CommandError, EXIT } from '../exit-codes.ts'
import type { GatewayAddress, Rate } from './plan.ts'

/** What the command line says, checked so closely that it can be written into a configuration as it is. */

/** '10.0.0.1:8080/8081', or without a gRPC port. */
export function readGateway(text: string): GatewayAddress {
  const [http, grpcPort, ...rest] = text.split('/')
  const address = parseAddress(http ?? '')
  const port = grpcPort === undefined ? null : readPort(grpcPort)
  if (address === null || address.port === 0 || rest.length > 0 || port === undefined) {
    throw usage(
      `--gateway ${text} is no gateway.`,
      'Write host:port, or host:port/grpcport: --gateway 10.0.0.1:8080/8081.',
    )
  }
  return { http: address, grpc: port === null ? null : { host: address.host, port } }
}

/** '443' or '127.0.0.1:8080'. */
export function readListen(flag: string, text: string): string {
  const port = readPort(text)
  if (port !== undefined) return String(port)
  const address: Address | null = parseAddress(text)
  if (address === null || address.port === 0)
    throw usage(`${flag} ${text} is no address.`, 'Write a port, or host:port: 127.0.0.1:8080.')
  return formatAddress(address)
}

/** '10.0.0.1:5514'. */
export function readSyslog(text: string): string {
  const address = parseAddress(text)
  if (address !== null && address.port !== 0) return formatAddress(address)
  throw usage(`--syslog ${text} is no address.`, 'Write the host:port of `edge.syslog.udp`: 127.0.0.1:5514.')
}

export function readRate(text: string): Rate {
  const [, count, per] = /^(\d{1,7})(?:r?\/([sm]))?$/.exec(text) ?? []
  if (count === undefined || Number(count) === 0) throw usage(`--rate ${text} is no rate.`, 'Write 100r/s or 600r/m.')
  return { count: Number(count), per: per === 'm' ? 'm' : 's' }
}

export function readConnections(text: string): number {
  if (!/^\d{1,7}$/.test(text) || Number(text) === 0)
    throw usage(`--connections ${text} is no count.`, 'Write a whole number, 1 or more.')
  return Number(text)
}

/** Several names may be given, with blanks between. */
export function checkServerName(text: string): string {
  if (/^[A-Za-z0-9_*.-]+(?: [A-Za-z0-9_*.-]+)*$/.test(text)) return text
  throw usage(`--server-name ${text} is no host name.`, 'Write one like tasks.example.com or *.example.com.')
}

/** For between double quotes, where nginx reads $ and backslashes. */
export function checkFile(flag: string, text: string): string {
  if (/^[^\p{Cc}"'\\$]+$/u.test(text)) return text
  throw usage(
    `${flag} ${JSON.stringify(text)} cannot be written into a configuration.`,
    'Use a path without quotes, $ and backslashes.',
  )
}

function readPort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port > 0 && port <= 65_535 ? port : undefined
}

function usage(message: string, fix: string): CommandError {
  return new CommandError(EXIT.usage, message, { fix: [fix] })
}

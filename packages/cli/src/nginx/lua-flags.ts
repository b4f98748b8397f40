import { isAbsolute } from 'node:path'
import { type Address, formatAddress, parseAddress, type ServerOptions } from '@forebay/server/configuration'
import { CommandError, EXIT } from '../exit-codes.ts'
import { checkFile } from './flags.ts'
import type { BodyPolicy, LuaPlan } from './lua-plan.ts'

export interface LuaFlags {
  readonly lua?: string
  /** False with --no-lua-log. */
  readonly luaLog: boolean
  readonly luaBuffer?: string
  readonly collector?: string
  readonly collectorKey?: string
  readonly logHeader: readonly string[]
  readonly logBody?: string
  readonly logBodyMax?: string
  readonly produce: readonly string[]
  readonly directKafka: readonly string[]
}

/** Of the configuration, as far as it counts here. */
interface CollectorAddress {
  readonly edge: Pick<ServerOptions['edge'], 'http'>
}

/** Null without --lua; then none of the others may be there. */
export function readLua(flags: LuaFlags, options: CollectorAddress): LuaPlan | null {
  if (flags.lua === undefined) {
    const alone = NEED_LUA.find(([name]) => flags[name] !== undefined && flags[name]?.length !== 0)
    if (alone === undefined) return null
    throw usage(`${alone[1]} needs --lua.`, 'Name a folder for the Lua files: --lua /etc/nginx/forebay-lua.')
  }
  const { luaLog: rows, produce, directKafka } = flags
  if (!rows && produce.length === 0)
    throw usage('--no-lua-log and no --produce leave nothing for Lua.', 'Leave --lua out.')
  const isDirect = directKafka.length > 0
  if (isDirect && produce.length === 0) {
    throw usage('--direct-kafka produces nothing without --produce.', 'Name the topics: --produce orders.')
  }
  return {
    dir: readFolder(flags.lua),
    collector: flags.collector === undefined ? configured(options) : readCollector(flags.collector),
    keyFile: flags.collectorKey === undefined ? null : checkFile('--collector-key', flags.collectorKey),
    rows,
    headers: flags.logHeader.map(readHeader),
    body: readPolicy(flags.logBody ?? 'none'),
    bodyBytes: readBytes('--log-body-max', flags.logBodyMax ?? '4k', 1, BODY_BYTES_LIMIT),
    bufferBytes: readBytes('--lua-buffer', flags.luaBuffer ?? '32m', BUFFER_BYTES_LEAST, BUFFER_BYTES_LIMIT),
    produce: produce.map(readTopic),
    produceBytesMax: isDirect ? DIRECT_BYTES_MAX : PRODUCE_BYTES_MAX,
    kafka: isDirect ? directKafka.map(readBroker) : null,
  }
}

const NEED_LUA = [
  ['luaBuffer', '--lua-buffer'],
  ['collector', '--collector'],
  ['collectorKey', '--collector-key'],
  ['logHeader', '--log-header'],
  ['logBody', '--log-body'],
  ['logBodyMax', '--log-body-max'],
  ['produce', '--produce'],
  ['directKafka', '--direct-kafka'],
] as const

/** Rows with more are cut by the Lua (row.lua). */
const BODY_BYTES_LIMIT = 16 * 1024
/** nginx takes no smaller dictionary than some pages; this holds some hundred rows. */
const BUFFER_BYTES_LEAST = 256 * 1024
const BUFFER_BYTES_LIMIT = 4 * 1024 * 1024 * 1024
/** What every log takes in one record: 1 MiB, less what its headers may have (16 KiB). */
const PRODUCE_BYTES_MAX = 1024 * 1024 - 16 * 1024
/** As 4,000 of them may be in the memory of each worker (kafka.lua). */
const DIRECT_BYTES_MAX = 64 * 1024
/** Where whoever listens everywhere is from the same machine. */
const NEAR: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
const COLLECTOR_DEFAULT = 'unix:/run/forebay/edge.sock'

/** What the collector of this configuration listens on, as nginx on the same machine reaches it. */
function configured({ edge }: CollectorAddress): string {
  const { unix, listen } = edge.http
  if (unix !== null) return `unix:${checkFile('edge.http.unix', unix)}`
  if (listen === null || listen.port === 0) return COLLECTOR_DEFAULT
  return formatAddress({ ...listen, host: NEAR[listen.host] ?? listen.host })
}

/** Lua resolves no names: an address. */
function readCollector(text: string): string {
  const path = /^unix:(\/.+)$/.exec(text)?.[1]
  if (path !== undefined) return `unix:${checkFile('--collector', path)}`
  const address = parseAddress(text)
  if (address !== null && address.port !== 0 && /^[\d.]+$|:/.test(address.host)) return formatAddress(address)
  throw usage(
    `--collector ${text} is no address.`,
    'Write unix:/run/forebay/edge.sock, or the IP:port of `edge.http.listen`.',
  )
}

function readBroker(text: string): Address {
  const address = parseAddress(text)
  if (address !== null && address.port !== 0 && /^[\w.:-]+$/.test(address.host)) return address
  throw usage(`--direct-kafka ${text} is no address.`, 'Write host:port of a broker: 10.0.0.5:9092.')
}

function readFolder(text: string): string {
  if (!isAbsolute(text))
    throw usage(`--lua ${text} is no absolute path.`, 'nginx runs somewhere else: /etc/nginx/forebay-lua.')
  if (/[;?]/.test(text)) throw usage(`--lua ${text} cannot be a path of Lua.`, 'Use a path without ; and ?.')
  return checkFile('--lua', text).replace(/\/+$/, '')
}

function readHeader(text: string): string {
  const name = text.toLowerCase()
  if (!/^[a-z0-9-]{1,64}$/.test(name)) throw usage(`--log-header ${text} is no header.`, 'Write its name: X-Tenant.')
  if (SECRET.has(name)) throw usage(`--log-header ${text} would log keys.`, 'Log something that says who it was.')
  return name
}

const SECRET: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie', 'x-api-key'])

function readPolicy(text: string): BodyPolicy {
  if (text === 'none' || text === 'errors' || text === 'all') return text
  throw usage(`--log-body ${text} is none of none, errors and all.`, 'errors: of requests with status 400 or more.')
}

function readTopic(text: string): string {
  if (/^[A-Za-z0-9._-]{1,249}$/.test(text) && !/^\.+$/.test(text)) return text
  throw usage(`--produce ${text} is no topic.`, 'Up to 249 letters, digits, and . _ -, as in `edge.produce`.')
}

/** As nginx writes sizes: 4096, 4k, 32m. */
function readBytes(flag: string, text: string, least: number, most: number): number {
  const [, digits, unit] = /^(\d{1,10})([km]?)$/i.exec(text) ?? []
  const bytes = Number(digits) * (UNITS[unit?.toLowerCase() ?? ''] ?? 1)
  if (digits !== undefined && bytes >= least && bytes <= most) return bytes
  throw usage(`${flag} ${text} is no size from ${least} to ${most} bytes.`, 'Write 4096, 4k or 32m.')
}

const UNITS: Readonly<Record<string, number>> = { k: 1024, m: 1024 * 1024 }

function usage(message: string, fix: string): CommandError {
  return new CommandError(EXIT.usage, message, { fix: [fix] })
}

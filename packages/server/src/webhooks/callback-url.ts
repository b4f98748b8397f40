import { isIP } from 'node:net'
import { ForebayError } from '@forebay/protocol'
import type { AllowedTargets } from './allowed-targets.ts'
import { isPublicAddress } from './public-address.ts'

/** The URL of a callback that may be called, as far as it can be told without asking DNS. */
export interface CallbackUrl {
  /** In its normal form: the same place has one spelling. */
  readonly href: string
  readonly secure: boolean
  /** A name in lower case, or an address without brackets. */
  readonly hostname: string
  /** 0: a name; else the family of the address. */
  readonly family: 0 | 4 | 6
  readonly port: number
  /** 'hooks.example.com:443', in lower case. */
  readonly host: string
  /** With the query. */
  readonly path: string
}

export interface CallbackUrlRules {
  readonly ports: ReadonlySet<number>
  readonly allowed: AllowedTargets
}

export const CALLBACK_URL_CHARACTERS_MAX = 2_048

/**
 * Looks over a URL that a caller wrote, before it is kept and again before each call. What a parser would let pass in
 * silence (control characters, backslashes, other scripts) is refused before it is parsed; what is judged then is what
 * came out of the parser, so that no other spelling of an address helps. Throws CALLBACK_REFUSED, which says what is wrong.
 */
export function checkCallbackUrl(text: string, { ports, allowed }: CallbackUrlRules): CallbackUrl {
  if (text.length > CALLBACK_URL_CHARACTERS_MAX) {
    throw refused(`is longer than ${CALLBACK_URL_CHARACTERS_MAX} characters`)
  }
  if (!/^[\x21-\x7e]*$/.test(text)) {
    throw refused('holds spaces, control characters or letters beyond ASCII; escape them, and write names in Punycode')
  }
  if (text.includes('\\')) throw refused('holds a backslash; write /')
  const url = URL.parse(text)
  if (url === null) throw refused('is no URL; write https://host/path')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused(`begins with "${url.protocol}"; use https:`)
  if (url.username !== '' || url.password !== '' || /^[a-z]+:\/*[^/?#]*@/i.test(text)) {
    throw refused('holds a user or a password; take them out, calls are signed instead')
  }
  const secure = url.protocol === 'https:'
  const hostname = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const family = isIP(hostname) as 0 | 4 | 6
  const isAllowed = family === 0 ? allowed.host(hostname) : allowed.address(hostname)
  if (!isAllowed) refuseHost(hostname, family)
  if (!secure && !isAllowed) throw refused('begins with "http:"; use https:')
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port)
  if (!ports.has(port)) throw refused(`has port ${port}; allowed are ${[...ports].join(', ')}`)
  url.hash = ''
  return {
    href: url.href,
    secure,
    hostname,
    family,
    port,
    host: `${family === 6 ? `[${hostname}]` : hostname}:${port}`,
    path: `${url.pathname}${url.search}`,
  }
}

function refuseHost(hostname: string, family: 0 | 4 | 6): void {
  if (family !== 0) {
    if (!isPublicAddress(hostname)) throw refused(`leads to ${hostname}, which is not a public address`)
    return
  }
  if (hostname.endsWith('.')) throw refused('has a dot at the end of its host; leave it out')
  const labels = hostname.split('.')
  if (hostname.length > NAME_CHARACTERS_MAX || !labels.every((label) => LABEL.test(label))) {
    throw refused('has a host that is not a name of the Internet')
  }
  if (hostname === 'localhost' || labels.length < 2) {
    throw refused(`has the host "${hostname}", which is a name within one machine or network`)
  }
  const ending = NOT_PUBLIC_ENDINGS.find((one) => hostname.endsWith(one))
  if (ending !== undefined) throw refused(`has a host under "${ending}", where nothing is public`)
}

const NAME_CHARACTERS_MAX = 253
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/
/** Names that are only ever answered within a machine or a network. */
const NOT_PUBLIC_ENDINGS = [
  '.localhost',
  '.localdomain',
  '.local',
  '.internal',
  '.intranet',
  '.private',
  '.corp',
  '.home',
  '.lan',
  '.home.arpa',
  '.in-addr.arpa',
  '.ip6.arpa',
  '.onion',
]

function refused(what: string): ForebayError {
  return new ForebayError('CALLBACK_REFUSED', `The callback URL ${what}.`, { members: { field: 'callback' } })
}

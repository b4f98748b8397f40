/** What must not be stored, taken out before anything is. */
export interface RedactOptions {
  /** Names of query parameters whose values are hidden, in any case; 'all' hides every value. */
  readonly parameters: readonly string[] | 'all'
  /** keep: as it is. network: the first 24 bits of IPv4, 48 of IPv6. drop: ''. */
  readonly client: 'keep' | 'network' | 'drop'
  /** Names of members whose values are hidden wherever they stand in a line, in any case. */
  readonly members: readonly string[]
}

export const REDACTED = '[redacted]'

export const PARAMETERS_DEFAULT: readonly string[] = [
  ...['token', 'access_token', 'refresh_token', 'id_token', 'auth', 'authorization', 'jwt', 'session', 'sid'],
  ...['key', 'apikey', 'api_key', 'api-key', 'secret', 'client_secret', 'password', 'passwd', 'pwd', 'pass', 'code'],
  ...['sig', 'signature', 'x-amz-signature', 'x-amz-credential', 'x-amz-security-token', 'x-goog-signature'],
]
export const MEMBERS_DEFAULT: readonly string[] = [
  ...['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'password', 'secret', 'token'],
]

export interface Redaction {
  /** The query with secret values replaced; the same text when there are none. */
  query(query: string): string
  /** The same for what follows '?' in a URL; a user and password in it go too. */
  url(url: string): string
  client(address: string): string
  readonly keepsClient: boolean
  /** Hides secret members of what is in `value`, in place; true when it did. `depth` from 0. */
  members(value: object): boolean
  /** Whether a member of this name is secret. */
  hides(name: string): boolean
  /** The same of a parameter of a query. */
  hidesParameter(name: string): boolean
}

export function createRedaction({ parameters, client, members }: RedactOptions): Redaction {
  const secretParameters = parameters === 'all' ? null : new Set(parameters.map(plainName))
  const isSecretMember = remembering(new Set(members.map(plainName)))
  const query = (text: string) => (text === '' ? text : redactQuery(text, secretParameters))
  return {
    query,
    url(text) {
      const mark = text.indexOf('?')
      if (mark < 0 && !text.includes('@')) return text
      const [before, after] = mark < 0 ? [text, ''] : [text.slice(0, mark), text.slice(mark + 1)]
      const address = before.replace(USER_IN_URL, `$1${REDACTED}@`)
      return mark < 0 ? address : `${address}?${query(after)}`
    },
    client: (address) => (client === 'keep' ? address : client === 'drop' ? '' : networkOf(address)),
    keepsClient: client === 'keep',
    members: (value) => members.length > 0 && hideMembers(value, isSecretMember, 0),
    hides: isSecretMember,
    hidesParameter: (name) => isSecretParameter(name, secretParameters),
  }
}

/** 'Set-Cookie', 'set_cookie' and 'setCookie' are one name. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}

/** Lines have the same few names over and over. */
function remembering(secret: ReadonlySet<string>): (name: string) => boolean {
  const known = new Map<string, boolean>()
  return (name) => {
    const before = known.get(name)
    if (before !== undefined) return before
    const isSecret = secret.has(plainName(name))
    if (known.size < NAMES_KEPT) known.set(name, isSecret)
    return isSecret
  }
}

const NAMES_KEPT = 1_000

function redactQuery(text: string, secret: ReadonlySet<string> | null): string {
  const parts = text.split('&')
  let changed = false
  for (const [index, part] of parts.entries()) {
    const equals = part.indexOf('=')
    if (equals < 0 || equals === part.length - 1) continue
    const name = part.slice(0, equals)
    if (!isSecretParameter(name, secret)) continue
    parts[index] = `${name}=${REDACTED}`
    changed = true
  }
  return changed ? parts.join('&') : text
}

function isSecretParameter(name: string, secret: ReadonlySet<string> | null): boolean {
  return secret === null || secret.has(plainName(decoded(name)))
}

/** Servers read %74oken as token, so we do. */
function decoded(name: string): string {
  if (!name.includes('%')) return name
  try {
    return decodeURIComponent(name)
  } catch {
    return name.replace(/%([0-7][0-9A-Fa-f])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  }
}

const USER_IN_URL = /^([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^/@]*@/

/** '203.0.113.7' → '203.0.113.0'; '2001:db8:1:2::3' → '2001:db8:1::'; what is no address → ''. */
function networkOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/i.exec(address)
  if (v4 !== null) return `${v4[1]}.0`
  if (!/^[0-9a-f:]*:[0-9a-f:]*$/i.test(address)) return ''
  const groups = (address.split('::')[0] ?? '').split(':').slice(0, 3)
  return `${groups.filter((group) => group !== '').join(':')}::`
}

function hideMembers(value: object, isSecret: (name: string) => boolean, depth: number): boolean {
  if (depth > DEPTH_MAX) return false
  let changed = false
  const holder = value as Record<string, unknown>
  for (const name of Object.keys(holder)) {
    const inside = holder[name]
    if (isSecret(name)) {
      if (inside === REDACTED || inside === '' || inside === null) continue
      holder[name] = REDACTED
      changed = true
    } else if (typeof inside === 'object' && inside !== null && hideMembers(inside, isSecret, depth + 1)) changed = true
  }
  return changed
}

/** Deeper ones of a log line are left as they are. */
const DEPTH_MAX = 16

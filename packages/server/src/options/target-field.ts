import type { TargetOptions } from '../options.ts'
import { formatAddress, parseAddress } from './address.ts'
import { type Field, leaf, type Place, quote } from './field.ts'

/** 'workers', 'grpc(s)://host:port/pkg.Service/Method', 'http(s)://…'; descriptors are a key beside it. */
export const targetField: Field<string, TargetOptions> = leaf<string, TargetOptions>({
  about:
    "Who does the work. 'workers': processes that dial in and ask for this queue. grpc://HOST:PORT/PACKAGE.SERVICE/METHOD " +
    '(grpcs:// with TLS): a method of any gRPC server. http://… or https://…: gets each task as POST.',
  schema: { anyOf: [{ const: 'workers' }, { type: 'string', pattern: '^(grpcs?|https?)://' }] },
  absent: { kind: 'workers' },
  written: 'workers',
  parse(given, place) {
    if (given === 'workers') return { kind: 'workers' }
    const scheme = typeof given === 'string' ? /^([a-z+]+):\/\//i.exec(given)?.[1]?.toLowerCase() : undefined
    if (scheme === 'grpc' || scheme === 'grpcs') return grpcTarget(given as string, scheme, place)
    if (scheme === 'http' || scheme === 'https') return httpTarget(given as string, place)
    const fix = `Write workers, ${GRPC_EXAMPLE} or http://host:port/path.`
    place.refuse(given, `${quote(given)} is no target.`, fix)
  },
})

function grpcTarget(given: string, scheme: 'grpc' | 'grpcs', place: Place): TargetOptions | undefined {
  const [, authority, service, method] = /^grpcs?:\/\/([^/]+)\/([^/]+)\/([^/]+)$/i.exec(given) ?? []
  if (authority === undefined || service === undefined || method === undefined) {
    return place.refuse(given, `${quote(given)} names no gRPC method.`, `Write ${GRPC_EXAMPLE}.`)
  }
  const address = parseAddress(authority)
  if (address === null || address.port === 0) {
    return place.refuse(given, `${quote(authority)} is not a host:port to dial.`, `Write ${GRPC_EXAMPLE}.`)
  }
  if (!SERVICE.test(service) || !METHOD.test(method)) {
    return place.refuse(
      given,
      `${quote(`${service}/${method}`)} is not the full name of a gRPC method.`,
      `Write ${GRPC_EXAMPLE}.`,
    )
  }
  const tls = scheme === 'grpcs'
  return { kind: 'grpc', address: formatAddress(address), service, method, tls, descriptors: null }
}

function httpTarget(given: string, place: Place): TargetOptions | undefined {
  const url = URL.canParse(given) ? new URL(given) : null
  if (url === null) place.refuse(given, `${quote(given)} is not a URL.`, 'Write http://host:port/path.')
  else if (url.username !== '' || url.password !== '') {
    place.refuse('(hidden)', 'The URL of the target holds a password.', 'Take the user and password out of it.')
  } else if (url.hash !== '') {
    place.refuse(given, `The fragment ${quote(url.hash)} never reaches a server.`, `Write ${given.split('#')[0]}.`)
  } else return { kind: 'http', url: url.href }
  return undefined
}

const GRPC_EXAMPLE = 'grpc://host:port/package.Service/Method'
const SERVICE = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/
const METHOD = /^[A-Za-z_]\w*$/

import { formatAddress } from '@forebay/server/configuration'
import { block, type Directive, duration, line } from './directives.ts'
import { FAIL_TIMEOUT_MS, FAILS_MAX, KEEP_IDLE_MS, type NginxPlan } from './plan.ts'

/** The gateways, once for each way of passing requests on: what counts as a failure there is not one here. */
export const ONCE = 'forebay_once'
export const AGAIN = 'forebay_again'
export const KEYED = 'forebay_keyed'
export const GRPC = 'forebay_grpc'

export function upstreams({ gateways }: NginxPlan): Directive[] {
  const http = gateways.map((gateway) => formatAddress(gateway.http))
  const grpc = gateways.flatMap((gateway) => (gateway.grpc === null ? [] : [formatAddress(gateway.grpc)]))
  return [
    upstream(ONCE, 'Gateways for what must not be sent twice: only lost connections count against one.', http),
    upstream(
      AGAIN,
      'The same for what may be sent again: a 503 counts as well, so reads have an account of their own.',
      http,
    ),
    upstream(KEYED, 'The same for submissions with an Idempotency-Key.', http),
    ...(grpc.length === 0 ? [] : [upstream(GRPC, "The gateways' gRPC doors.", grpc)]),
  ]
}

function upstream(name: string, why: string, addresses: readonly string[]): Directive {
  return block(`upstream ${name}`, why, [
    line(`zone ${name} 128k`, 'all worker processes know the same of a gateway'),
    line('least_conn', 'waits are long and uneven: the gateway with the fewest open requests is next'),
    ...addresses.map((address) =>
      line(
        `server ${address} max_fails=${FAILS_MAX} fail_timeout=${duration(FAIL_TIMEOUT_MS)}`,
        `left alone for ${duration(FAIL_TIMEOUT_MS)} after ${FAILS_MAX} failures`,
      ),
    ),
    line('keepalive 128', 'idle connections kept to gateways, by each worker process'),
    line('keepalive_requests 100000', 'a connection that works need not be made anew'),
    line(`keepalive_timeout ${duration(KEEP_IDLE_MS)}`, 'nginx closes it, before the gateway does (75 s)'),
  ])
}

import { block, type Directive, line, lua } from './directives.ts'
import type { LuaPlan } from './lua-plan.ts'
import type { NginxPlan } from './plan.ts'

/** What nginx does by Lua: rows for the collector, and messages that are produced at the edge (docs/edge.md). */

/** For inside http { }. */
export function luaShared({ lua: plan }: NginxPlan): Directive[] {
  if (plan === null) return []
  const path = `package.path = "${plan.dir}/?.lua;" .. package.path`
  return [
    ...(plan.rows
      ? [line(`lua_shared_dict forebay_edge ${plan.bufferBytes}`, 'rows that the collector does not have yet')]
      : []),
    ...(plan.kafka === null
      ? []
      : [
          line('lua_shared_dict forebay_kafka 64k', 'counters of messages'),
          lua('init_by_lua_block', 'Without lua-resty-kafka nginx says so and does not start; nginx -t runs no Lua.', [
            path,
            'require("forebay.kafka").check()',
          ]),
        ]),
    lua(
      'init_worker_by_lua_block',
      'Lua for rows and messages. nginx takes one such block: if you have one, join them.',
      [
        path,
        ...(plan.rows ? started('ring', rowOptions(plan)) : []),
        ...(plan.produce.length === 0 ? [] : started(producer(plan), produceOptions(plan))),
      ],
    ),
  ]
}

/** The Lua that takes messages. */
function producer({ kafka }: LuaPlan): string {
  return kafka === null ? 'produce' : 'kafka'
}

/** For inside each server { }. */
export function luaLogging(plan: LuaPlan | null): Directive[] {
  if (plan === null || !plan.rows) return []
  return [
    lua('log_by_lua_block', 'Each request becomes a row, also those of locations below.', [
      'require("forebay.ring").log()',
    ]),
  ]
}

/** Beside the gateways' locations. */
export function luaLocations({ lua: plan, bodyBytesMax }: NginxPlan): Directive[] {
  if (plan === null) return []
  const produce = block('location ~ ^/produce/([A-Za-z0-9._-]+)$', 'Messages; the answer says what became of one.', [
    line(
      `client_max_body_size ${Math.max(bodyBytesMax, 2 * plan.produceBytesMax)}`,
      'Lua says exactly what is too large',
    ),
    lua('content_by_lua_block', plan.kafka === null ? 'As the collector has it.' : 'In memory, on its way to Kafka.', [
      `require("forebay.${producer(plan)}").answer(ngx.var[1])`,
    ]),
  ])
  return [
    ...(plan.rows ? [status('edge', 'How full the ring is, and what was lost', 'ring')] : []),
    ...(plan.kafka === null ? [] : [status('kafka', 'What was buffered, refused, and lost', 'kafka')]),
    ...(plan.produce.length === 0 ? [] : [produce]),
  ]
}

function status(path: string, what: string, part: string): Directive {
  return block(`location = /.forebay/${path}`, `${what}, for Prometheus.`, [
    line('allow 127.0.0.1', 'from this machine'),
    line('allow ::1', 'from this machine'),
    line('deny all', 'and for nobody else'),
    lua('content_by_lua_block', 'Counters since nginx was started.', [`require("forebay.${part}").status()`]),
  ])
}

function started(part: string, options: readonly string[]): string[] {
  return [`require("forebay.${part}").start({`, ...options.map((option) => `    ${option},`), '})']
}

function rowOptions({ collector, keyFile, headers, body, bodyBytes }: LuaPlan): string[] {
  return [
    `collector = "${collector}"`,
    ...(keyFile === null ? [] : [`key_file = "${keyFile}"`]),
    ...(headers.length === 0 ? [] : [`headers = ${list(headers)}`]),
    ...(body === 'none' ? [] : [`body = "${body}"`, `body_bytes = ${bodyBytes}`]),
  ]
}

function produceOptions({ collector, produce, produceBytesMax, kafka }: LuaPlan): string[] {
  const brokers = kafka?.map(({ host, port }) => `{ host = "${host}", port = ${port} }`).join(', ')
  return [
    brokers === undefined ? `collector = "${collector}"` : `brokers = { ${brokers} }`,
    `topics = ${list(produce)}`,
    `bytes = ${produceBytesMax}`,
  ]
}

function list(texts: readonly string[]): string {
  return `{ ${texts.map((text) => `"${text}"`).join(', ')} }`
}

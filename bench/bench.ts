import { mkdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { requireCommand } from '../scripts/rig/debian.ts'
import { compare } from './compare.ts'
import { delays } from './delays.ts'
import { doors } from './doors.ts'
import { edgeAge } from './edge-age.ts'
import { edgeCollected } from './edge-collected.ts'
import { edgeLines } from './edge-lines.ts'
import { edgeNginx } from './edge-nginx.ts'
import { edgeQueries } from './edge-queries.ts'
import { eventConsumer } from './event-consumer.ts'
import { eventProducer } from './event-producer.ts'
import { memory } from './memory.ts'
import { printProfiles } from './profile.ts'
import { promisesCost } from './promises.ts'
import { CONNECTIONS, type Connections } from './scenario.ts'
import { stuckKey } from './stuck-key.ts'
import { watchers } from './watchers.ts'

const USAGE = `npm run bench -- accept|roundtrip [--broker embedded|kafka|both] [--rounds N] [--seconds N] [--connections 1,64,256] [--only NAME] [--profile DIR]
npm run bench -- memory [--broker embedded|kafka] [--tasks N]
npm run bench -- delays [--broker embedded|kafka] [--tasks N]
npm run bench -- stuck-key [--rounds N] [--seconds N] [--tasks N]
npm run bench -- promises [--rounds N] [--seconds N]
npm run bench -- doors [--seconds N]
npm run bench -- watchers [--tasks N]
npm run bench -- edge-lines [--broker kafka] [--tasks LINES]
npm run bench -- edge-nginx [--rounds N] [--seconds N] [--only file|gateways]
npm run bench -- edge-collected [--rounds N] [--seconds N]
npm run bench -- edge-age [--seconds N]
npm run bench -- edge-queries [--tasks ROWS]
npm run bench -- event-producer [--rounds N] [--seconds N]
npm run bench -- event-consumer [--rounds N] [--seconds N]
npm run bench -- profile DIR|FILE... [--tasks N]

accept      POSTs that are kept; nobody works on them
roundtrip   POSTs that are worked on, with the worker's answer as response
memory      memory of each Forebay process over many round trips
delays      tasks that are due within the same minute: how late they begin
stuck-key   throughput of other keys while one is parked, and what its line costs
promises    what a queue's policies cost
doors       how long an answer is on its way from the worker to its caller, by door
watchers    what those who follow tasks cost, and how soon they hear
event-producer, event-consumer
            events of a service, beside clients of Kafka by themselves
edge-lines  lines of an access log into a log, beside kcat -P
edge-nginx  what an access log costs nginx, by road; with real gateways, or where it is itself the limit
edge-collected
            the same on a machine with the collector and Kafka, together
edge-queries
            typical questions to the log store over 10,000,000 rows
edge-age    how old rows of the access log are when Kafka and the log store have them, by road
profile     where the CPU time of --profile went
Figures are told as ratios to what was measured in the same rounds; see docs/benchmarks.md.`

const SECONDS_DEFAULT = '5'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    broker: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string' },
    tasks: { type: 'string' },
    connections: { type: 'string' },
    only: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [name, ...files] = positionals
process.exitCode = (await run()) ? 0 : 1

async function run(): Promise<boolean> {
  if (name === 'profile' && files.length > 0) {
    return printProfiles(files, values.tasks === undefined ? null : count('tasks', values.tasks))
  }
  if (name === 'delays') {
    const broker = oneOf(['embedded', 'kafka'], values.broker)
    return delays({ broker, tasks: count('tasks', values.tasks ?? '100000') })
  }
  if (name === 'edge-lines') {
    if (values.broker === 'kafka') await requireCommand('kcat', 'kcat')
    return edgeLines({ lines: count('tasks', values.tasks ?? '300000'), kafka: values.broker === 'kafka' })
  }
  if (name === 'edge-queries') return edgeQueries({ rows: count('tasks', values.tasks ?? '10000000') })
  if (name === 'edge-age') {
    await requireNginx()
    await requireCommand('h2load', 'nghttp2-client')
    return edgeAge({ seconds: count('seconds', values.seconds ?? SECONDS_DEFAULT) })
  }
  if (name === 'doors') return doors({ seconds: count('seconds', values.seconds ?? SECONDS_DEFAULT) })
  if (name === 'event-producer' || name === 'event-consumer') {
    const turns = { rounds: count('rounds', values.rounds), seconds: count('seconds', values.seconds ?? '1') }
    return name === 'event-producer' ? eventProducer(turns) : eventConsumer(turns)
  }
  if (name === 'watchers') return watchers({ streams: count('tasks', values.tasks ?? '10000') })
  if (name === 'stuck-key' || name === 'promises' || name === 'edge-nginx' || name === 'edge-collected') {
    await requireCommand('wrk', 'wrk')
    const rounds = {
      rounds: count('rounds', values.rounds),
      seconds: count('seconds', values.seconds ?? SECONDS_DEFAULT),
    }
    if (name === 'promises') return promisesCost(rounds)
    if (name === 'edge-nginx') return edgeNginx({ ...rounds, only: oneOf(['all', 'file', 'gateways'], values.only) })
    if (name === 'edge-collected') {
      await requireNginx()
      return edgeCollected(rounds)
    }
    return stuckKey({ ...rounds, behind: count('tasks', values.tasks ?? '20000') })
  }
  if (name === 'accept' || name === 'roundtrip' || name === 'memory') {
    await requireCommand('wrk', 'wrk')
    if (name === 'memory') {
      return memory({
        broker: oneOf(['kafka', 'embedded'], values.broker),
        tasks: count('tasks', values.tasks ?? '1000000'),
      })
    }
    const profileDir = values.profile === undefined ? null : resolve(values.profile)
    if (profileDir !== null) await mkdir(profileDir, { recursive: true })
    return compare(name, {
      broker: oneOf(['both', 'kafka', 'embedded'], values.broker),
      rounds: count('rounds', values.rounds),
      seconds: count('seconds', values.seconds ?? SECONDS_DEFAULT),
      connections: connectionsOf(values.connections),
      only: values.only ?? null,
      profileDir,
    })
  }
  console.log(USAGE)
  return false
}

async function requireNginx(): Promise<void> {
  await requireCommand('nginx', 'nginx-light')
  await requireCommand('/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua')
}

/** The first one is the default. */
function oneOf<Choice extends string>(choices: readonly [Choice, ...Choice[]], given: string | undefined): Choice {
  if (given === undefined) return choices[0]
  const choice = choices.find((each) => each === given)
  if (choice === undefined) throw new Error(`--broker ${given}: write one of ${choices.join(', ')}`)
  return choice
}

function connectionsOf(given: string | undefined): readonly Connections[] {
  if (given === undefined) return CONNECTIONS
  const wanted = given.split(',').map((each) => CONNECTIONS.find((connections) => String(connections) === each))
  if (wanted.includes(undefined)) throw new Error(`--connections ${given}: write some of ${CONNECTIONS.join(',')}`)
  return wanted.filter((each) => each !== undefined)
}

function count(flag: string, given: string): number {
  const number = Number(given)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${flag} ${given}: write a number from 1 on`)
  return number
}

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { forebayBroker } from '@forebay/broker/remote'
import { createConsumer, DeadError, defineEvent } from '@forebay/events'
import { Type } from 'typebox'
import { cleanEnvironment, type Ended, forebay, MAIN, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

/** What `forebay events` does beside a running server, which owns the embedded log. */

const CONFIGURED = 'events={clicked: {partitions: 2}, account_created: {topic: accounts, partitions: 2}}'
const folder = temporaryFolder()
const server = await up(folder.path, ['--set', CONFIGURED])
after(async () => {
  await server[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})
const flags = ['--server', server.grpc]
const say = (...args: readonly string[]): Promise<Ended> => forebay(['events', ...args])
const onLog = (...args: readonly string[]) => say(...args, ...flags)

async function ok(ended: Promise<Ended>): Promise<string> {
  const { code, stdout, stderr } = await ended
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  return stdout
}

test('what is published through the gateway or to the log is tailed as it comes, until Ctrl-C, and controls no terminal', async () => {
  const tail = start(['tail', 'clicked', '--from', 'earliest', ...flags])
  const toGateway = say(
    'publish',
    'clicked',
    '-d',
    '{"n": 9007199254740993}',
    '-k',
    'k',
    '--id',
    'e-1',
    '--json',
    '--url',
    server.url,
  )
  assert.equal(JSON.parse(await ok(toGateway)).topic, 'forebay.events.clicked')
  assert.match(await tail.line(0), /^\d{4}-\S+Z {2}clicked {2}k {2}e-1 {2}\{"n": 9007199254740993\}$/)
  const text = 'plain\u001b[2J \u009b text'
  const place = await ok(onLog('publish', 'clicked', '-d', text, '--id', 'e-2', '-x', 'tenant=blue'))
  assert.match(place, /^forebay\.events\.clicked\/\d\/\d+ {2}e-2\n$/)
  assert.match(await tail.line(1), /clicked {2}- {2}e-2 {2}plain\?\[2J \? text$/)
  tail.child.kill('SIGINT')
  assert.equal(await tail.ended, 0)

  const json = await ok(onLog('tail', 'forebay.events.clicked', '--no-follow', '--json', '--where', 'tenant=blue'))
  for (const control of ['\u001b', '\u009b']) assert.ok(!json.includes(control))
  const one = JSON.parse(json)
  assert.equal(one.event.data, text)
  assert.equal(`${one.place.topic}/${one.place.partition}/${one.place.offset}  e-2\n`, place)
})

test('dead letters of a group are listed, shown, redriven and discarded, and old events replayed to it', async () => {
  const handled: string[] = []
  const heard = new Set<() => void>()
  let broken = true
  await using consumer = await createConsumer({
    broker: forebayBroker({ server: server.grpc }),
    group: 'mail-service',
    events: [created],
    partitions: 2,
    handlers: {
      account_created: ({ id, data }, { redrives }) => {
        if (broken && data.userId !== 'good') throw new DeadError('no \u001b[31mmail')
        handled.push(`${id} ${redrives}`)
        for (const wake of heard) wake()
      },
    },
  })
  const batch = ['good', 'u-1', 'u-2'].map((user) => ({
    ...{ specversion: '1.0', source: '/test', type: 'account_created' },
    ...{ id: `e-${user}`, partitionkey: user, data: { userId: user } },
  }))
  const headers = { 'content-type': 'application/cloudevents-batch+json' }
  await fetch(`${server.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(batch) })
  while (consumer.counts.dead < 2) await new Promise((resolve) => setTimeout(resolve, 20))

  const group = ['--group', 'mail-service']
  const table = await ok(onLog('dead', 'list', ...group, '--topic', 'accounts'))
  const [, letter] = /^(accounts\/0\/\d+) +account_created +u-1 +WORKER_REFUSED.*no \?\[31mmail/m.exec(table) ?? []
  assert.ok(letter !== undefined, table)
  assert.match(table, / u-2 /)
  const dry = await onLog('dead', 'redrive', letter, ...group)
  assert.deepEqual([dry.code, dry.stdout], [2, 'Would redrive: 1 redriven.\n'])
  broken = false
  const redriven = ok(onLog('dead', 'redrive', letter, ...group, '--yes', '--by', 'ada', '--reason', 'mail is back'))
  assert.equal(await redriven, '1 redriven.\n')
  await untilHandled('e-u-1 1')
  const shown = await ok(onLog('dead', 'show', letter, ...group))
  assert.match(shown, /event {5}\S+ {2}account_created {2}u-1 {2}e-u-1 {2}\{"userId":"u-1"\}/)
  assert.match(shown, /why {7}WORKER_REFUSED/)
  assert.match(shown, /redriven {2}\S+ by ada: mail is back/)
  const discarded = ok(onLog('dead', 'discard', ...group, '--topic', 'accounts', '--all', '--yes'))
  assert.equal(await discarded, '1 discarded.\n')

  const replay = ['replay', 'account_created', ...group, '--from', 'earliest', '--set', CONFIGURED]
  const counted = await onLog(...replay)
  assert.equal(counted.code, 2)
  assert.match(counted.stdout, /account_created +3/)
  assert.equal(await ok(onLog(...replay, '--key', 'good', '--yes')), '1 replayed\n')
  await untilHandled('e-good 0')
  assert.deepEqual(handled.sort(), ['e-good 0', 'e-good null', 'e-u-1 1'])

  async function untilHandled(one: string): Promise<void> {
    while (!handled.includes(one)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      heard.add(resolve)
      await promise
    }
  }
})

const created = defineEvent('account_created', {
  topic: 'accounts',
  schema: Type.Object({ userId: Type.String() }),
  key: ({ userId }) => userId,
})

test('what is not there is said so, with what to do', async () => {
  const topic = await onLog('tail', 'nonsense')
  assert.equal(topic.code, 3, topic.stderr)
  assert.match(topic.stderr, /no topic nonsense[\s\S]*fix/)
  const event = await say('publish', 'account_creatd', '--url', server.url)
  assert.equal(event.code, 3, event.stderr)
  assert.match(event.stderr, /EVENT_NOT_FOUND.*Did you mean account_created/)
  const group = await onLog('dead', 'redrive', '--group', 'nobody', '--topic', 'accounts', '--all')
  assert.equal(group.code, 3, group.stderr)
  assert.match(group.stderr, /No group nobody has read accounts so far/)
})

test('what cannot be meant is refused before anything is asked', async () => {
  const where = await say('tail', 'clicked', '--where', 'type', '--server', '127.0.0.1:1')
  assert.equal(where.code, 2)
  assert.match(where.stderr, /no attribute and value/)
  const which = await say('dead', 'redrive', '--group', 'g', '--server', '127.0.0.1:1')
  assert.equal(which.code, 2)
  assert.match(which.stderr, /their names, a filter, or --all/)
})

interface Started {
  readonly child: ChildProcess
  /** The line of stdout at this index, when it is there. */
  line(index: number): Promise<string>
  readonly ended: Promise<number | null>
}

function start(args: readonly string[]): Started {
  const child = spawn(process.execPath, [MAIN, 'events', ...args], {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    for (const wake of waiting) wake()
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return {
    child,
    ended,
    async line(index) {
      while (lines[index] === undefined) {
        const { promise, resolve } = Promise.withResolvers<void>()
        waiting.add(resolve)
        await Promise.race([promise, ended])
        waiting.delete(resolve)
        if (child.exitCode !== null && lines[index] === undefined) throw new Error(`tail ended with ${child.exitCode}`)
      }
      return lines[index]
    },
  }
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { createWorker, type Handler } from '../src/worker/worker.ts'
import { WorkerServer } from './worker-server.ts'

test('each server has a session, and those that are there share the slots evenly, whoever came first', async () => {
  await using servers = await startServers(3)
  const [first, second, third] = servers.all
  second!.kill()
  third!.kill()
  await using _worker = serve(servers.addresses, 10)
  await until(() => credits(first!) === 10)
  const secondAgain = await servers.restart(1)
  await until(() => credits(first!) === 5 && credits(secondAgain) === 5)
  const thirdAgain = await servers.restart(2)
  await until(() => credits(first!) === 4 && credits(secondAgain) === 3 && credits(thirdAgain) === 3)
})

test('when a server dies the others have its slots, and when it returns it has its share again, of busy ones too', async () => {
  await using servers = await startServers(2)
  const [first, second] = servers.all
  const release = Promise.withResolvers<void>()
  let running = 0
  let most = 0
  await using _worker = serve(servers.addresses, 8, async () => {
    most = Math.max(most, ++running)
    await release.promise
    running--
  })
  await until(() => credits(first!) === 4 && credits(second!) === 4)
  second!.kill()
  await until(() => credits(first!) === 8)
  const busy = first!.sessions.at(-1)!
  const leases = busy.give(...Array.from({ length: 6 }, () => ({})))
  await until(() => running === 6)
  // Two credits are left, and they go to the one that returns; the rest of its share is busy.
  const again = await servers.restart(1)
  await until(() => credits(again) === 2 && credits(first!) === 0)
  release.resolve()
  await busy.until(() => leases.every((lease) => busy.outcomes.some((outcome) => outcome.lease === lease)))
  await until(() => credits(first!) === 4 && credits(again) === 4)
  assert.equal(most, 6)
})

test('tasks of several servers together never run more than the slots', async () => {
  await using servers = await startServers(2)
  let running = 0
  let most = 0
  let done = 0
  await using _worker = serve(servers.addresses, 5, async () => {
    most = Math.max(most, ++running)
    await systemClock.sleep(Math.random() * 5)
    running--
    done++
  })
  let given = 0
  while (given < 200) {
    for (const server of servers.all) {
      const session = server.sessions.findLast(({ draining, over }) => !draining && !over)
      const count = session === undefined ? 0 : Math.min(session.credits, 200 - given)
      if (count > 0) session!.give(...Array.from({ length: count }, () => ({})))
      given += count
    }
    await systemClock.sleep(1)
  }
  await until(() => done >= 195)
  assert.ok(most <= 5, `${most} at once`)
  const shares = servers.all.map(({ sessions }) => sessions.flatMap(({ outcomes }) => outcomes).length)
  assert.ok(Math.min(...shares) > 40, `${shares}`)
})

test('a server that drains gives its share away, and an idle worker stops at all of them', async () => {
  await using servers = await startServers(2)
  const [first, second] = servers.all
  const worker = serve(servers.addresses, 6)
  await until(() => credits(first!) === 3 && credits(second!) === 3)
  const before = second!.sessions.length
  second!.sessions.at(-1)!.send({ drain: true })
  // It takes sessions again: it drained one, and was not stopped.
  await until(() => second!.sessions.length > before && credits(first!) === 3 && credits(second!) === 3)
  assert.deepEqual(await worker.stop(), { left: [] })
  await until(() => servers.all.every(({ sessions }) => sessions.every(({ halfClosed, over }) => halfClosed || over)))
})

test("with fewer slots than servers, and with sessions: 'first', there is one session", async () => {
  for (const [concurrency, sessions] of [
    [1, undefined],
    [8, 'first'],
  ] as const) {
    await using servers = await startServers(2)
    await using _worker = createWorker({
      server: servers.addresses,
      concurrency,
      ...(sessions === undefined ? {} : { sessions }),
      queues: { echo: () => {} },
    })
    await until(() => servers.all.some(({ sessions }) => sessions.length > 0))
    await systemClock.sleep(50)
    assert.equal(
      servers.all.reduce((sum, { sessions }) => sum + sessions.length, 0),
      1,
    )
    assert.equal(
      servers.all.reduce((sum, server) => sum + credits(server), 0),
      concurrency,
    )
  }
})

function serve(server: readonly string[], concurrency: number, echo: Handler = () => 'ok') {
  return createWorker({ server, concurrency, queues: { echo }, onEvent: () => {} })
}

/** What the server may still spend: nothing of sessions that are over, or that their worker leaves. */
function credits({ sessions }: WorkerServer): number {
  return sessions.reduce((sum, { draining, over, credits }) => (draining || over ? sum : sum + credits), 0)
}

async function startServers(count: number) {
  const all: WorkerServer[] = []
  for (let n = 0; n < count; n++) all.push(await WorkerServer.start())
  return {
    all,
    addresses: all.map(({ address }) => address),
    async restart(index: number): Promise<WorkerServer> {
      const server = await WorkerServer.start({ port: all[index]!.port })
      all[index] = server
      return server
    },
    async [Symbol.asyncDispose]() {
      for (const server of all) server.kill()
    },
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await systemClock.sleep(5)
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import { AddressPool } from '../src/execute/address-pool.ts'

/** A pool of strings, on a clock that the test moves. */
function poolOf(host: string, answers: (() => readonly string[])[]) {
  let nowMs = 0
  let lookUps = 0
  let seed = 1
  const closed: string[] = []
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs }
  const pool = new AddressPool<string>({
    host,
    port: 50051,
    lookUp: async () => answers[Math.min(lookUps++, answers.length - 1)]!(),
    connect: (address) => address,
    close: (channel) => closed.push(channel),
    clock,
    random: {
      fill() {},
      unit: () => {
        seed = (seed * 48271) % 0x7fffffff
        return seed / 0x7fffffff
      },
    },
  })
  return { pool, closed, lookUps: () => lookUps, passMs: (ms: number) => (nowMs += ms) }
}

const three = () => ['10.0.0.1', '10.0.0.2', '10.0.0.3']

async function taken(pool: AddressPool<string>, times: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (let n = 0; n < times; n++) {
    const place = await pool.take()
    counts.set(place!.address, (counts.get(place!.address) ?? 0) + 1)
    pool.release(place!, 'fine')
  }
  return counts
}

describe('the pool of a target’s addresses', () => {
  it('dials a literal address as it is and looks nothing up', async () => {
    const { pool, lookUps } = poolOf('::1', [three])
    assert.equal((await pool.take())!.channel, 'ipv6:[::1]:50051')
    assert.equal(lookUps(), 0)
  })

  it('spreads calls evenly by what is under way', async () => {
    const { pool } = poolOf('orders', [three])
    const counts = new Map<string, number>()
    for (let n = 0; n < 300; n++) {
      const { address } = (await pool.take())!
      counts.set(address, (counts.get(address) ?? 0) + 1)
    }
    for (const count of counts.values()) assert.ok(Math.abs(count - 100) <= 10, [...counts.values()].join(' '))
  })

  it('leaves out an address that fails five times in a row, longer each time, and uses all when all are out', async () => {
    const { pool, passMs } = poolOf('orders', [three])
    const fail = async (address: string) => {
      for (let failures = 0; failures < 5; ) {
        const place = (await pool.take())!
        pool.release(place, place.address === address ? 'failed' : 'fine')
        if (place.address === address) failures++
      }
    }
    await fail('10.0.0.2')
    assert.equal((await taken(pool, 200)).has('10.0.0.2'), false)
    passMs(1000)
    await fail('10.0.0.2')
    passMs(1999)
    assert.equal((await taken(pool, 200)).has('10.0.0.2'), false)
    passMs(1)
    assert.equal((await taken(pool, 200)).has('10.0.0.2'), true)
    for (const address of three()) await fail(address)
    assert.equal((await taken(pool, 200)).size, 3)
  })

  it('leaves out at once an address that cannot be reached', async () => {
    const { pool, passMs } = poolOf('orders', [() => ['10.0.0.1']])
    const [first, second] = [(await pool.take())!, (await pool.take())!]
    assert.equal(pool.healthy, true)
    pool.release(first, 'unreachable')
    assert.equal(pool.healthy, false)
    passMs(999)
    pool.release(second, 'unreachable')
    passMs(1)
    assert.equal(pool.healthy, true)
  })

  it('is full at a thousand calls an address, and has room again after a release', async () => {
    const { pool } = poolOf('10.0.0.1', [three])
    const places = []
    while (pool.room > 0) places.push(await pool.take())
    assert.equal(places.length, 1000)
    assert.equal(await pool.take(), null)
    pool.release(places[0]!, 'fine')
    assert.equal(pool.room, 1)
    assert.notEqual(await pool.take(), null)
  })

  it('looks the name up again after 30 s, takes new addresses and closes those that are gone', async () => {
    const { pool, closed, passMs, lookUps } = poolOf('orders', [three, () => ['10.0.0.3', '10.0.0.4']])
    await taken(pool, 100)
    assert.equal(lookUps(), 1)
    passMs(30_000)
    await taken(pool, 1)
    await new Promise(setImmediate)
    assert.deepEqual([...(await taken(pool, 100)).keys()].sort(), ['10.0.0.3', '10.0.0.4'])
    assert.deepEqual(closed, ['ipv4:10.0.0.1:50051', 'ipv4:10.0.0.2:50051'])
    pool.close()
    assert.equal(await pool.take(), null)
    assert.equal(closed.length, 4)
  })

  it('rejects while a name leads nowhere, and keeps known addresses when a later lookup fails', async () => {
    const nowhere = () => {
      throw new Error('ENOTFOUND')
    }
    const { pool, passMs } = poolOf('orders', [nowhere, three, nowhere])
    await assert.rejects(pool.take(), /ENOTFOUND/)
    assert.equal((await taken(pool, 100)).size, 3)
    passMs(30_000)
    await taken(pool, 1)
    await new Promise(setImmediate)
    assert.equal((await taken(pool, 100)).size, 3)
  })
})

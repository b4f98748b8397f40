import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../store.ts'
import { apply, type ContractPlace, note, RETENTION_MS, succeeded } from './contract-place.ts'
import { openParking, ownPartition, row } from './parking-place.ts'

export function retentionTests(place: () => ContractPlace): void {
  test('results go when they are older than the retention, younger ones and later notes stay', async () => {
    const at = place()
    const store = await at.open()
    const nowMs = at.clock.wallMs()
    const old = Array.from({ length: 1_200 }, (_, n) => succeeded(`old-${n}`, 'x', nowMs))
    await apply(store, 0, ...old, note('open', 'running', 1, nowMs))
    at.clock.advance(RETENTION_MS)
    await apply(store, 1_201, succeeded('young', 'y', at.clock.wallMs()))
    at.clock.advance(1)
    await gone(at, store, 'old-1199')
    const left = await Promise.all(old.map((one) => store.get(one.taskId)))
    assert.ok(left.every((one) => one === null))
    assert.notEqual(await store.get('young'), null)
    assert.notEqual(await store.get('open'), null)
    assert.equal((await store.positions('results')).get(0), 1_202)
    await store.close()
  })

  test('what is known of an unfinished task goes by the bound of its own', async () => {
    const at = place()
    const store = await at.open()
    await apply(store, 0, note('open', 'running', 1, at.clock.wallMs()))
    at.clock.advance(2 * RETENTION_MS)
    assert.notEqual(await store.get('open'), null)
    await gone(at, store, 'open')
    await store.close()
  })

  test('a result that claims to come from the future does not stay for ever', async () => {
    const at = place()
    const store = await at.open()
    await apply(store, 0, succeeded('t', 'x', Number.MAX_SAFE_INTEGER))
    at.clock.advance(RETENTION_MS)
    await gone(at, store, 't')
    await store.close()
  })
}

/** What is parked is not swept, nor what is known of it. */
export function parkedRetentionTests(place: () => ContractPlace): void {
  test('parked rows stay however old they are, and so does what is known of their tasks', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    const week = { dueInMs: 100 * RETENTION_MS, deadlineInMs: 200 * RETENTION_MS }
    const offsets = Array.from({ length: 700 }, (_, offset) => offset)
    await parking.park(
      owned,
      offsets.map((offset) => row(offset, week)),
    )
    const nowMs = at.clock.wallMs()
    const parked = offsets.map((offset) => note(`t${offset}`, 'parked', 0, nowMs))
    await apply(store, 0, ...parked, note('elsewhere', 'parked', 0, nowMs + 1), note('open', 'running', 1, nowMs + 1))
    at.clock.advance(10 * RETENTION_MS)
    await gone(at, store, 'open')
    await gone(at, store, 'elsewhere')
    const known = await Promise.all(offsets.map((offset) => store.get(`t${offset}`)))
    assert.ok(known.every((one) => one?.status.state === 'parked'))
    assert.equal((await parking.list({ limit: 1 })).total, 700)
    await parking.remove(owned, [3, 699])
    await gone(at, store, 't3')
    await gone(at, store, 't699')
    assert.notEqual(await store.get('t4'), null)
    await store.close()
  })
}

/** The sweep runs beside the calls: gives it time until it has come by. */
async function gone(at: ContractPlace, store: Store, taskId: string): Promise<void> {
  while ((await store.get(taskId)) !== null) {
    at.clock.advance(at.options.sweepIntervalMs)
    await sleep(1)
  }
}

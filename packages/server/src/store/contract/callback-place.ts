import assert from 'node:assert/strict'
import type {
  CallbackConclusion,
  CallbackFilter,
  Callbacks,
  CallbackToRegister,
  DueCallback,
  TakeCallbacks,
} from '../callbacks.ts'
import type { Store } from '../store.ts'
import type { ContractPlace } from './contract-place.ts'

export const LEASE_MS = 5_000
/** For tests in which no row leaves by age. ms */
const KEEP_MS = 1_000_000_000

export interface OpenCallbacks {
  readonly store: Store
  readonly callbacks: Callbacks
}

export async function openCallbacks(at: ContractPlace): Promise<OpenCallbacks> {
  const store = await at.open()
  assert.ok(store.callbacks !== null)
  return { store, callbacks: store.callbacks }
}

/** A callback of that number for task `t<number>`, each at a host of its own. */
export function callback(
  at: ContractPlace,
  number: number,
  change: Partial<CallbackToRegister> = {},
): CallbackToRegister {
  const host = change.host ?? `host${number}.example:443`
  return {
    id: idOf(number),
    taskId: `t${number}`,
    owner: 'anna',
    queue: 'orders',
    url: `https://${host}/hook`,
    host,
    keepUntilMs: at.clock.wallMs() + KEEP_MS,
    ...change,
  }
}

export function idOf(number: number): string {
  return `cb_${`${number}`.padStart(26, '0')}`
}

export async function take(callbacks: Callbacks, change: Partial<TakeCallbacks> = {}): Promise<readonly DueCallback[]> {
  return callbacks.take({ countMax: 1_000, perHostMax: 1_000, leaseMs: LEASE_MS, taker: 'g1', ...change })
}

/** The numbers of what is handed out. */
export async function taken(callbacks: Callbacks, change: Partial<TakeCallbacks> = {}): Promise<readonly number[]> {
  return (await take(callbacks, change)).map(numberOf)
}

export function numberOf({ id }: Pick<CallbackToRegister, 'id'>): number {
  return Number(id.slice(3))
}

export function conclude(
  callbacks: Callbacks,
  number: number,
  then: CallbackConclusion['then'],
  change: { readonly taker?: string; readonly attempt?: Partial<CallbackConclusion['attempt']> } = {},
): Promise<boolean> {
  const attempt = { atMs: 1_000, durationMs: 12, status: 200, detail: null, ...change.attempt }
  return callbacks.conclude({ id: idOf(number), taker: change.taker ?? 'g1', attempt, then })
}

export const DELIVERED = { kind: 'delivered' } as const
export const GIVEN_UP = { kind: 'given-up' } as const
export const DISABLED = { kind: 'disabled' } as const

export function again(inMs: number): CallbackConclusion['then'] {
  return { kind: 'again', inMs }
}

/** 'number state' of each row, the youngest registration first. */
export async function states(callbacks: Callbacks, filter: CallbackFilter = {}): Promise<readonly string[]> {
  return (await callbacks.list({ countMax: 1_000, ...filter })).map((one) => `${numberOf(one)} ${one.state}`)
}

import type { Address } from '@forebay/server/configuration'
import type { LuaPlan } from './lua-plan.ts'

/** What a configuration of nginx is made from, checked: every text in it is safe to write into one. */
export interface NginxPlan {
  readonly gateways: readonly GatewayAddress[]
  /** As nginx writes it: '443', '127.0.0.1:8080'. */
  readonly listen: string
  /** The same for gRPC; used when every gateway has such a door. */
  readonly grpcListen: string
  /** '_' takes any. */
  readonly serverName: string
  readonly tls: { readonly cert: string; readonly key: string } | null
  /** Requests of one client address, '100r/s'; null for no limit. */
  readonly rate: Rate | null
  /** Requests of one client address that may be under way at once; null for no limit. */
  readonly connections: number | null
  /** 'off' for none. */
  readonly accessLog: string
  /** host:port of a collector that takes the same lines over UDP; null for none. */
  readonly syslog: string | null
  /** Rows and messages by Lua; null for none. */
  readonly lua: LuaPlan | null
  /** Whether an Idempotency-Key holds at every gateway: they share a store, or there is one. */
  readonly keysHold: boolean
  readonly bodyBytesMax: number
  readonly waitMaxMs: number
}

export interface GatewayAddress {
  readonly http: Address
  readonly grpc: Address | null
}

export interface Rate {
  readonly count: number
  readonly per: 's' | 'm'
}

/** Between the end of the longest wait and a gateway counting as lost. ms */
export const WAIT_MARGIN_MS = 15_000
/** Three heartbeats of SSE (15 s). ms */
export const SSE_SILENCE_MS = 45_000
/** Three heartbeats of Watch, and of WebSocket (20 s). ms */
export const WATCH_SILENCE_MS = 60_000
/** Of calls that may say nothing for as long as their caller likes. ms */
export const QUIET_CALL_MS = 3_600_000
/** Shorter than a gateway keeps its idle connections (75 s), so that none is used as it closes. ms */
export const KEEP_IDLE_MS = 60_000
/** Failures within `FAIL_TIMEOUT_MS` after which a gateway is left alone for as long. */
export const FAILS_MAX = 3
export const FAIL_TIMEOUT_MS = 2_000
/** A gateway is near; one that takes longer to say hello is not there. ms */
export const CONNECT_MS = 2_000

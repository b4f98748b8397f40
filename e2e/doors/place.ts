import { grpcDefinition, TaskService } from '@forebay/protocol'
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js'

/** What a caller knows of the system: the addresses of nginx, and nothing of the gateways behind it. */
export interface Place extends Disposable {
  /** 'http://host:port' */
  readonly url: string
  readonly grpc: Client
}

export function openPlace(addresses: { readonly http: string; readonly grpc: string }): Place {
  const grpc = new Client(addresses.grpc, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  })
  return { url: addresses.http, grpc, [Symbol.dispose]: () => grpc.close() }
}

export const METHODS = grpcDefinition(TaskService) as Record<string, MethodDefinition<object, object>>

/** What one question came to. */
export interface Asked {
  /** 0 where there was no answer. */
  readonly status: number
  readonly text: string
  readonly headers: Headers | null
}

export async function ask(url: string, init: RequestInit, withinMs = 30_000): Promise<Asked> {
  try {
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(withinMs) })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  } catch {
    return { status: 0, text: '', headers: null }
  }
}

export type Members = Readonly<Partial<Record<'id' | 'task' | 'code' | 'state' | 'detail', string>>>

export function membersOf(text: string): Members {
  try {
    return JSON.parse(text) as Members
  } catch {
    return {}
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caller } from './open-waits.ts'
import type { RequestFields } from './request-fields.ts'

/** A request that has been looked over, on its way to what answers it. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly fields: RequestFields
  /** Of the path, decoded. */
  readonly parameters: Readonly<Record<string, string>>
}

/** Answers, or throws what is then answered by the table of errors. */
export type Handle = (call: Call) => Promise<void> | void

/** '/orders/{customer}' as the router writes it. */
export function routerPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

/** The other way round. */
export function documentPath(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}')
}

export function callerOf(response: ServerResponse): Caller {
  return {
    get gone() {
      return response.destroyed
    },
    onGone: (leave) => response.on('close', leave),
    offGone: (leave) => response.off('close', leave),
  }
}

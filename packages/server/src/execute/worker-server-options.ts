import type { ServerOptions } from '@grpc/grpc-js'

/**
 * What a grpc-js server needs that workers dial in to. HTTP/2 keepalive stays off: liveness travels inside the session,
 * and grpc-js drops calls when a ping meets a graceful end of the connection.
 */
export const WORKER_SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': 8 * 1024 * 1024,
  /** -1: a task may be as large as its queue allows. */
  'grpc.max_send_message_length': -1,
  /** Of one connection; a worker opens one. */
  'grpc.max_concurrent_streams': 1000,
  /** Megabytes that one connection may hold in Node's HTTP/2. */
  'grpc-node.max_session_memory': 64,
  'grpc.enable_channelz': 0,
}

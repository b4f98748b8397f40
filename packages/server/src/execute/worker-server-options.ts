import type { ServerOptions } from '@grpc/grpc-js'

/** Many small outcomes share a message. */
const MESSAGE_BYTES_LEAST = 8 * 1024 * 1024
/** For what stands beside a body or an answer. */
const MESSAGE_HEADROOM_BYTES = 64 * 1024

/**
 * What a grpc-js server needs that workers dial in to. HTTP/2 keepalive stays off: liveness travels inside the session,
 * and grpc-js drops calls when a ping meets a graceful end of the connection.
 */
export const WORKER_SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_LEAST,
  /** -1: a task may be as large as its queue allows. */
  'grpc.max_send_message_length': -1,
  /** Of one connection; a worker opens one. */
  'grpc.max_concurrent_streams': 1000,
  /** Megabytes that one connection may hold in Node's HTTP/2. */
  'grpc-node.max_session_memory': 64,
  'grpc.enable_channelz': 0,
}

/** The same where bodies and answers may be as large as this. */
export function serverOptionsFor(payloadBytesMax: number): ServerOptions {
  const bytesMax = Math.max(MESSAGE_BYTES_LEAST, payloadBytesMax + MESSAGE_HEADROOM_BYTES)
  return { ...WORKER_SERVER_OPTIONS, 'grpc.max_receive_message_length': bytesMax }
}

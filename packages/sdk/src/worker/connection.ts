import { grpcDefinition, type SessionRequest, type SessionResponse, WorkerService } from '@forebay/protocol'
import { type ChannelCredentials, Client, type MethodDefinition, type StatusObject, status } from '@grpc/grpc-js'

export interface ConnectionEvents {
  onMessage(message: SessionResponse): void
  /** Once, for whatever reason; `reason` is null when the server ended the stream in good order. */
  onEnd(reason: string | null): void
}

/** One stream on one HTTP/2 connection of its own, so that ending it leaves nothing behind. */
export interface Connection {
  send(message: SessionRequest): void
  halfClose(): void
  /** Ends both directions now; `onEnd` follows. */
  cancel(): void
}

export function connect(address: string, credentials: ChannelCredentials, events: ConnectionEvents): Connection {
  const client = new Client(address, credentials, CHANNEL_OPTIONS)
  const { path, requestSerialize, responseDeserialize } = SESSION
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
  stream.on('data', events.onMessage)
  // grpc-js tells the same by 'status', also for streams that end well.
  stream.on('error', () => {})
  stream.on('status', (end: StatusObject) => {
    client.close()
    events.onEnd(end.code === status.OK ? null : `${status[end.code]}: ${end.details}`)
  })
  return {
    send: (message) => stream.write(message),
    halfClose: () => stream.end(),
    cancel: () => stream.cancel(),
  }
}

const SESSION = grpcDefinition(WorkerService).Session as MethodDefinition<SessionRequest, SessionResponse>

/** One message may carry many attempts, or one with the largest body that a server takes (64 MiB). bytes */
const RECEIVE_BYTES_MAX = 66 * 1024 * 1024

const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
  // A stream cannot be retried behind our back: attempts belong to their session.
  'grpc.enable_retries': 0,
  // Else a dead connection, and grpc-js's own backoff after it, would be shared with the next session.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_channelz': 0,
  // Many small tasks in flight should not wait for window updates. bytes
  'grpc-node.flow_control_window': 1024 * 1024,
}

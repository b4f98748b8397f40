import { type Client, connectivityState } from '@grpc/grpc-js'

/** After a call has failed: whether that was for want of a connection, so that the call was never sent. */
export function isUnreachable(client: Client): boolean {
  return client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE
}

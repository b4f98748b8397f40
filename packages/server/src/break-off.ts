import { constants, type ServerHttp2Stream } from 'node:http2'

/**
 * Resets the stream of a gRPC peer that does not read what it was told, so that its frames are freed. grpc-js offers no way
 * to it; we reach for its HTTP/2 stream, and tests hold that it is there.
 */
export function breakOff(call: object): void {
  const inner = call as { readonly call?: { readonly stream?: ServerHttp2Stream } }
  inner.call?.stream?.close(constants.NGHTTP2_CANCEL)
}

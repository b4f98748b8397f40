import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { RETRY_AFTER_MAX_MS } from './limits.ts'

/**
 * The delay of `google.rpc.RetryInfo` in a `grpc-status-details-bin`, ms; null when there is none or it is unreadable.
 *
 * Read by hand: four nested messages of one field each are not worth generated code.
 * google.rpc.Status{details=3} → google.protobuf.Any{type_url=1, value=2} → RetryInfo{retry_delay=1} →
 * google.protobuf.Duration{seconds=1, nanos=2}.
 */
export function retryDelayMs(statusDetails: Uint8Array): number | null {
  try {
    for (const any of bytesFields(statusDetails, 3)) {
      const [typeUrl] = bytesFields(any, 1)
      if (typeUrl === undefined || !Buffer.from(typeUrl).toString('latin1').endsWith(RETRY_INFO)) continue
      const [value] = bytesFields(any, 2)
      const [duration] = value === undefined ? [] : bytesFields(value, 1)
      return duration === undefined ? null : durationMs(duration)
    }
  } catch {
    // A server's own extra that we cannot read is no reason to treat its status otherwise.
  }
  return null
}

function durationMs(duration: Uint8Array): number | null {
  const reader = new BinaryReader(duration)
  let ms = 0
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.Varint) ms += Number(reader.int64()) * 1000
    else if (field === 2 && wireType === WireType.Varint) ms += reader.int32() / 1e6
    else reader.skip(wireType, field)
  }
  return ms > 0 ? Math.min(Math.ceil(ms), RETRY_AFTER_MAX_MS) : null
}

function bytesFields(message: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(message)
  const found: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === wanted && wireType === WireType.LengthDelimited) found.push(reader.bytes())
    else reader.skip(wireType, field)
  }
  return found
}

const RETRY_INFO = '/google.rpc.RetryInfo'

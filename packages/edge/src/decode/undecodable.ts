import { ROW_VERSION, type UndecodableReason, type UndecodableRow } from '../row.ts'
import type { SecretHider } from './secret-hider.ts'

/** Nothing is dropped because it is ugly: the bytes go on as they came (P10), but for secrets that can be seen in them. */
export function undecodable(
  bytes: Buffer,
  reason: UndecodableReason,
  time: string,
  continues: boolean,
  hider: SecretHider,
): Buffer {
  const shown = hider.hide(bytes, continues)
  const row: UndecodableRow = {
    v: ROW_VERSION,
    kind: 'undecodable',
    time,
    reason,
    continues,
    ...(shown === null ? {} : { redacted: true }),
    bytes: (shown ?? bytes).toString('base64'),
  }
  return Buffer.from(JSON.stringify(row))
}

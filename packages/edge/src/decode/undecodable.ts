import { ROW_VERSION, type UndecodableReason, type UndecodableRow } from '../row.ts'

/** Nothing is dropped because it is ugly: the bytes go on as they came (P10). */
export function undecodable(bytes: Buffer, reason: UndecodableReason, time: string, continues: boolean): Buffer {
  const row: UndecodableRow = {
    v: ROW_VERSION,
    kind: 'undecodable',
    time,
    reason,
    continues,
    bytes: bytes.toString('base64'),
  }
  return Buffer.from(JSON.stringify(row))
}

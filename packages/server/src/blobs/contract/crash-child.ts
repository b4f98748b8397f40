import { systemClock } from '@forebay/broker'
import { formatBlobRef } from '../../records.ts'
import type { BlobStore } from '../blob-store.ts'
import type { BlobContractOptions } from './contract.ts'
import { KEEP_MS } from './contract-place.ts'

/** Puts blobs, several at once, and says which are acknowledged, until it is killed. */
const [url, argument, place, seed] = process.argv.slice(2) as [string, string, string, string]
const { connect } = (await import(url)) as {
  connect(argument: string, place: string, options: BlobContractOptions): BlobStore
}
const blobs = connect(argument, place, { clock: systemClock, keepMs: KEEP_MS })
await blobs.open()
await Promise.all(Array.from({ length: 4 }, (_, line) => putOn(line)))

async function putOn(line: number): Promise<void> {
  for (let number = 0; ; number++) {
    const bytes = Buffer.alloc(400_000, `${seed}-${line}-${number} `)
    const ref = await blobs.put(bytes)
    process.stdout.write(`${formatBlobRef(ref)}\n`)
  }
}

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { blobContract } from '../src/blobs/contract/contract.ts'
import { connect } from './blobs-folder-connect.ts'

blobContract('folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'forebay-blobs-'))
  const filesOf = (place: string) =>
    readdirSync(join(folder, place), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  return {
    connect: (place, options) => connect(folder, place, options),
    count: async (place) => filesOf(place).length,
    async damage(place, { sha256 }) {
      for (const file of filesOf(place).filter((one) => one.includes(sha256))) {
        const bytes = readFileSync(file)
        bytes[0]! ^= 1
        writeFileSync(file, bytes)
      }
    },
    child: { url: new URL('./blobs-folder-connect.ts', import.meta.url).href, argument: folder },
    async close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { storeContract } from '../src/store/contract/contract.ts'
import { connect } from './store-embedded-connect.ts'

storeContract('embedded', () => {
  const folder = mkdtempSync(join(tmpdir(), 'forebay-store-'))
  return {
    connect: (place, options) => connect(folder, place, options),
    child: { url: new URL('./store-embedded-connect.ts', import.meta.url).href, argument: folder },
    async close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
})

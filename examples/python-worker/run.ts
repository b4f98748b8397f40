import { createClient } from '@forebay/sdk/client'
import { startForebay } from '../../e2e/forebay.ts'
import { startProcess } from '../../scripts/rig/process.ts'
import { pythonWorker } from './prepare.ts'

/** `npm run example -- python-worker`: a gateway, worker.py beside it, and a few tasks through both. */

console.log('grpcio and the generated code are made once, in ~/.cache/forebay/python …')
await using forebay = await startForebay({ config: { queues: { shout: {} } } })
await using worker = startProcess({ name: 'python worker', ...(await pythonWorker(forebay.grpc, 'shout')) })
await worker.line(/connected/)

const client = createClient({ url: forebay.url })
for (const text of ['hello', 'grüße', 'from python']) {
  const result = await client.call('shout', text, { within: '10s' })
  console.log(`${text} → ${result.text()}`)
}

import { parseArgs } from 'node:util'
import { runService } from '../service-process.ts'
import { startCatcher } from './catcher.ts'

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    'smtp-port': { type: 'string', default: '0' },
    'http-port': { type: 'string', default: '0' },
    /** Shares of the mails, 0 to 1. */
    later: { type: 'string', default: '0' },
    refuse: { type: 'string', default: '0' },
    drop: { type: 'string', default: '0' },
  },
})

await runService('mail-catcher', async (log) => {
  const catcher = await startCatcher({
    host: values.host,
    smtpPort: Number(values['smtp-port']),
    httpPort: Number(values['http-port']),
    failures: { later: Number(values.later), refuse: Number(values.refuse), drop: Number(values.drop) },
  })
  log.info({ smtp: catcher.smtp }, 'Mails are caught here.')
  return catcher
})

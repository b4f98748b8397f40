import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { brokerOf, runService } from '../service-process.ts'
import { startNotificationService } from './service.ts'

const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    database: { type: 'string' },
    smtp: { type: 'string' },
    from: { type: 'string' },
    'private-key-file': { type: 'string', multiple: true, default: [] },
  },
})
const { broker, database, smtp, from, 'private-key-file': keyFiles } = values
if (broker === undefined || database === undefined || smtp === undefined || keyFiles.length === 0) {
  console.error('notification-service needs --broker, --database, --smtp and --private-key-file.')
  process.exit(2)
}

await runService('notification-service', (log) =>
  startNotificationService({
    broker: brokerOf(broker, log),
    database,
    smtp,
    ...(from === undefined ? {} : { from }),
    privateKeys: keyFiles.map((file) => readFileSync(file, 'utf8')),
    log,
  }),
)

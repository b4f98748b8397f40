import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { brokerOf, runService } from '../service-process.ts'
import { REQUESTS_PER_MINUTE_DEFAULT, startUserService } from './service.ts'

/** Secrets come as files: what is on a command line can be read by everybody on the machine. */
const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    database: { type: 'string' },
    'pepper-file': { type: 'string' },
    'mail-public-key-file': { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    'requests-per-minute': { type: 'string', default: String(REQUESTS_PER_MINUTE_DEFAULT) },
    'behind-proxy': { type: 'boolean', default: false },
  },
})
const { broker, database, 'pepper-file': pepperFile, 'mail-public-key-file': keyFile } = values
if (broker === undefined || database === undefined || pepperFile === undefined || keyFile === undefined) {
  console.error('user-service needs --broker, --database, --pepper-file and --mail-public-key-file.')
  process.exit(2)
}

await runService('user-service', (log) =>
  startUserService({
    broker: brokerOf(broker, log),
    database,
    pepper: readFileSync(pepperFile),
    mailPublicKey: readFileSync(keyFile, 'utf8'),
    host: values.host,
    port: Number(values.port),
    requestsPerMinute: Number(values['requests-per-minute']),
    isBehindProxy: values['behind-proxy'],
    log,
  }),
)

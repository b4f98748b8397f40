import { parseArgs } from 'node:util'
import { brokerOf, runService } from '../service-process.ts'
import { startRecommendationService } from './service.ts'

const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    database: { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
  },
})
const { broker, database, host, port } = values
if (broker === undefined || database === undefined) {
  console.error('recommendation-service needs --broker and --database.')
  process.exit(2)
}

await runService('recommendation-service', (log) =>
  startRecommendationService({ broker: brokerOf(broker, log), database, host, port: Number(port), log }),
)

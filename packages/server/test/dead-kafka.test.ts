import { kafkaBroker } from '@forebay/broker/kafka'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { deadLetterSuite } from './support/dead-suite.ts'

deadLetterSuite('kafka', async () => {
  const kafka = await startKafka()
  const broker = kafkaBroker({ bootstrap: kafka.bootstrap.split(',') })
  return {
    broker,
    async close() {
      await broker.close()
      await kafka[Symbol.asyncDispose]()
    },
  }
})

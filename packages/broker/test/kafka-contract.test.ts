import { brokerContract } from '../src/contract/contract.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'
import { openKafkaHarness } from './kafka-harness.ts'

brokerContract('kafka', {
  capabilities: kafkaBroker({ bootstrap: ['127.0.0.1:1'] }).capabilities,
  open: openKafkaHarness,
})

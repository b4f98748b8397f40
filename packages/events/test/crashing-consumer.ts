import { appendFileSync } from 'node:fs'
import { embeddedBroker } from '@forebay/broker/embedded'
import { kafkaBroker } from '@forebay/broker/kafka'
import { createConsumer } from '../src/consumer.ts'
import { verified } from './some-events.ts'

/** A process for tests to kill: writes down each event when its handler begins, and takes a while over it. */
const [place, journal] = process.argv.slice(2) as [string, string]
const [, bootstrap] = /^kafka:(.*)/.exec(place) ?? []
await createConsumer({
  broker:
    bootstrap === undefined
      ? embeddedBroker({ dir: place, commitIntervalMs: 5 })
      : kafkaBroker({ bootstrap: [bootstrap], commitIntervalMs: 100, sessionTimeoutMs: 6_000 }),
  group: 'mails',
  events: [verified],
  handlers: {
    user_account_verified: async ({ id, key }, { position }) => {
      appendFileSync(journal, `begin ${key} ${position.offset} ${id}\n`)
      await new Promise((resolve) => setTimeout(resolve, 3))
      appendFileSync(journal, `end ${key} ${position.offset} ${id}\n`)
    },
  },
})
console.log('ready')
setInterval(() => {}, 60_000)

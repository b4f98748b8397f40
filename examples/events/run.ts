import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { embeddedBroker } from '@forebay/broker/embedded'
import { kafkaBroker } from '@forebay/broker/kafka'
import { forebayBroker } from '@forebay/broker/remote'
import { openEventLog } from '@forebay/events'
import { accountClosed, accountCreated } from './accounts.ts'
import { startCountService } from './count-service.ts'
import { startMailService } from './mail-service.ts'
import { startUserService } from './user-service.ts'

/** `npm run example -- events [--broker kafka://host:port | forebay://host:port]` */
const { values } = parseArgs({ options: { broker: { type: 'string' } } })
const dir = mkdtempSync(join(tmpdir(), 'forebay-example-'))
const [, kind, address = ''] = /^(kafka|forebay):\/\/(.+)$/.exec(values.broker ?? '') ?? []

// The embedded log has one owner, so the three share it. On Kafka, or on the log of a `forebay up`, each would have a broker, and a
// process, of its own.
const log = await openEventLog({
  broker: brokerFor(),
  events: [accountCreated, accountClosed],
  groups: ['mail-service', 'count-service'],
})

const done = { mails: Promise.withResolvers<void>(), counts: Promise.withResolvers<void>() }
const sent: string[] = []
let mailboxIsFull = true
const mails = await startMailService(log, async (mail) => {
  if (mail.includes('grace') && mailboxIsFull) {
    mailboxIsFull = false
    throw new Error('the mailbox is full')
  }
  sent.push(mail)
  if (sent.length === 4) done.mails.resolve()
})
const users = await startUserService(log)
await users.register('ada', 'Ada')
await users.register('grace', 'Grace')
await users.register('alan', 'Alan')
await users.leave('grace')
await done.mails.promise
for (const mail of sent.toSorted()) console.log(`mail ${mail}`)
const ofGrace = sent
  .filter((mail) => mail.includes('grace'))
  .map((mail) => (mail.includes('welcome') ? 'welcome' : 'goodbye'))
console.log(`grace was told: ${ofGrace.join(', then ')}`)

const counts = await startCountService(log, (total) => {
  if (total === 3) done.counts.resolve()
})
await done.counts.promise
console.log('the service that came later has counted 3 accounts')

for (const service of [users, mails, counts]) await service.stop()
await log.close()
rmSync(dir, { recursive: true })

function brokerFor() {
  if (kind === 'kafka') return kafkaBroker({ bootstrap: address.split(',') })
  return kind === 'forebay' ? forebayBroker({ server: address }) : embeddedBroker({ dir })
}

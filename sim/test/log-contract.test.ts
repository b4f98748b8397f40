import { brokerContract } from '@forebay/broker/contract'
import { Journal } from '../journal.ts'
import { SimBroker } from '../log/broker.ts'
import { SIM_CAPABILITIES } from '../log/capabilities.ts'
import { SimLog } from '../log/log.ts'
import { SimProcess } from '../process.ts'
import { SeededRandom } from '../random.ts'
import { Schedule } from '../schedule.ts'
import { Weather } from '../weather.ts'
import { keepPace } from './keep-pace.ts'

/** The simulated log, with time going on ten times as fast as outside: it must do what the real ones do. */
brokerContract('simulated', {
  capabilities: SIM_CAPABILITIES,
  async open() {
    const random = new SeededRandom('contract')
    const schedule = new Schedule(random.stream('order'))
    const journal = new Journal(schedule)
    const weather = new Weather(random.stream('weather'), (fate) => journal.cover(fate))
    const rules = { resultsTopic: 'results', queues: new Map() }
    const log = new SimLog({
      schedule,
      random: random.stream('log'),
      weather,
      journal,
      rules,
      wallMs: Date.now,
      gapShare: 0,
    })
    const stop = keepPace(schedule, 10)
    let processes = 0
    return {
      connect({ publishTimeoutMs = 3_000, commitIntervalMs = 100 }) {
        const name = `process-${++processes}`
        const process = new SimProcess(name, schedule, random.stream(name))
        return new SimBroker(log, process, { publishTimeoutMs, commitIntervalMs, sessionTimeoutMs: 6_000 })
      },
      async writeForeign({ topic, partition, ...record }) {
        log.append('somebody', topic, partition, [{ topic, ...record, value: record.value as Uint8Array }])
      },
      outage: {
        async stopLog() {
          weather.logDown = true
        },
        async startLog() {
          weather.heal()
        },
      },
      async close() {
        stop()
      },
    }
  },
})

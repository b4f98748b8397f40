import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startForebay } from '../../e2e/forebay.ts'
import { type Application, startMailCatcher, startService } from './application.ts'
import { CHECKS_EACH, checkApplication } from './check.ts'

/**
 * All services of the example, each a process of its own. Without --check they run until Ctrl-C; with it so many people
 * register and verify, and recommendation-service is started when they are done: it finds them all the same.
 */
const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    /** Keys and SQLite files. Default: a temporary folder, removed at the end. */
    data: { type: 'string' },
    /** postgres://user:password@host:port/database for user-service and notification-service. Default: SQLite. */
    'users-database': { type: 'string' },
    'notifications-database': { type: 'string' },
    port: { type: 'string', default: '0' },
    check: { type: 'string' },
  },
})
const people = values.check === undefined ? null : positive('check', values.check)
const FAILURES_SHOWN = 20
/** All people of a check come from one address. */
const REQUESTS_PER_MINUTE = 1_000_000

await using stack = new AsyncDisposableStack()
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

const dir = resolve(values.data ?? mkdtempSync(join(tmpdir(), 'forebay-two-step-')))
if (values.data === undefined) stack.defer(() => rmSync(dir, { recursive: true, force: true }))
const broker = values.broker ?? (await embeddedLog())
console.log(`log              ${broker}`)
const catcher = await startMailCatcher()
stack.use(catcher.rig)
console.log(`mail             ${catcher.url} (takes mails at ${catcher.smtp})`)

const { 'users-database': users, 'notifications-database': notifications } = values
const application: Application = {
  broker,
  dir,
  smtp: catcher.smtp,
  userPort: Number(values.port),
  databases: {
    ...(users === undefined ? {} : { users }),
    ...(notifications === undefined ? {} : { notifications }),
  },
  ...(people === null ? {} : { requestsPerMinute: REQUESTS_PER_MINUTE }),
}
const [userService, notificationService] = await Promise.all([
  startService('user-service', application),
  startService('notification-service', application),
])
stack.use(userService.rig)
stack.use(notificationService.rig)
console.log(`user-service     ${userService.url} (pid ${userService.rig.pid}): open it and register`)
console.log(`notifications    pid ${notificationService.rig.pid}`)
const recommendationService = await startService('recommendation-service', application)
stack.use(recommendationService.rig)
console.log(`recommendations  ${recommendationService.url}/api/recommendations (pid ${recommendationService.rig.pid})`)

if (people === null) {
  console.log('\nCtrl-C stops all of them.')
  const rigs = [catcher, userService, notificationService, recommendationService].map(({ rig }) => rig)
  const ended = rigs.map(({ name, exited, output }) => exited.then(() => `${name} has ended:\n${output()}`))
  const stopped = new Promise<null>((done) => stopping.signal.addEventListener('abort', () => done(null)))
  const what = await Promise.race([...ended, stopped])
  if (what !== null) {
    console.error(what)
    process.exitCode = 1
  }
} else {
  const addresses = { users: userService.url, mails: catcher.url, recommendations: recommendationService.url }
  const { passed, failures } = await checkApplication(addresses, people)
  for (const failure of failures.slice(0, FAILURES_SHOWN)) console.log(`FAILED           ${failure}`)
  console.log(`\n${passed} passed, ${people * CHECKS_EACH - passed} failed`)
  if (failures.length > 0) process.exitCode = 1
}

/** One Forebay server owns the embedded log; the services reach it over gRPC. */
async function embeddedLog(): Promise<string> {
  const server = stack.use(await startForebay({ config: { data: join(dir, 'forebay') } }))
  return `forebay://${server.grpc}`
}

function positive(name: string, given: string): number {
  const number = Number(given)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} ${given}: write a number from 1 on`)
  return number
}

import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaBroker } from '@forebay/broker/kafka'
import { type EventDeadLetters, openDeadLetters } from '@forebay/events'
import { createDice, type Dice } from '../../chaos/dice.ts'
import { ACCOUNT_EVENTS } from '../../examples/two-step-verification/events.ts'
import { judge, standingOf } from './judge.ts'
import { livePerson, type Person } from './person.ts'
import { type Scene, startScene } from './scene.ts'

export interface TwoStepOptions {
  readonly people: number
  /** Of whom so many are at it at once. */
  readonly atOnce: number
  /** A service is killed with -9 so often, and started again; at most so many times. */
  readonly killEveryMs: number
  readonly killsMax: number
  /** Longest that it takes a person, from the registration to the welcome. */
  readonly withinMs: number
  /** Whether Kafka is killed when half of the people are there, and started again. */
  readonly restartsKafka: boolean
  readonly seed: number
  readonly say: (line: string) => void
}

export interface TwoStepReport {
  readonly wrongs: readonly string[]
  readonly verified: number
  readonly kills: number
  readonly redriven: number
  readonly repeatedMails: number
  /** By what SMTP did to them. */
  readonly mails: Readonly<Record<string, number>>
}

/** People register and verify while services die and SMTP fails; then all that is left is compared. */
export async function runTwoStep(options: TwoStepOptions): Promise<TwoStepReport> {
  const { people: count, say, restartsKafka, seed } = options
  const dice = createDice(seed)
  say('starting Kafka, PostgreSQL, SMTP, two of user-service and two of notification-service')
  await using scene = await startScene(dice)
  const people: Person[] = []
  let next = 0
  const over = new AbortController()
  const sideShows = [
    killing(scene, dice, options, over.signal),
    redriving(scene, over.signal),
    progress(() => `${people.length} of ${count} are through, ${killsOf(scene)} kills`, say, over.signal),
  ] as const
  const halfway = Promise.withResolvers<void>()
  const lane = async () => {
    while (next < count) {
      people.push(await livePerson(next++, scene, dice, options.withinMs))
      if (people.length * 2 >= count) halfway.resolve()
    }
  }
  const kafkaRestarted = restartsKafka ? halfway.promise.then(() => restartKafka(scene, say)) : null
  await Promise.all(Array.from({ length: options.atOnce }, lane))
  await kafkaRestarted
  over.abort()
  const [, redriven] = await Promise.all(sideShows)

  // Whoever has no welcome yet gets it now; then nothing may be left over.
  scene.endFailures()
  say(`all ${count} are through; comparing`)
  const left = await redriveRest(scene)
  const { wrongs, repeatedMails, verified } = await judge(people, scene)
  const recommendations = await scene.startRecommendations()
  const readers = await readersOf(recommendations, verified.size)
  const missing = [...verified].filter((userId) => !readers.has(userId))
  const more = [...readers].filter((userId) => !verified.has(userId))
  return {
    wrongs: [
      ...wrongs,
      ...(wrongs.length > 0 ? [await standingOf(scene)] : []),
      ...left.wrongs,
      ...missing.map((userId) => `recommendation-service does not know ${userId}, who is verified`),
      ...more.map((userId) => `recommendation-service knows ${userId}, who is not verified`),
    ],
    verified: verified.size,
    kills: killsOf(scene),
    redriven: redriven + left.redriven,
    repeatedMails,
    mails: { ...scene.catcher.counts },
  }
}

const GROUP = 'notification-service'
const PROGRESS_MS = 10_000
const REDRIVE_EVERY_MS = 2_000
const REDRIVE_RATE = 1_000

function killsOf({ services }: Scene): number {
  return services.reduce((sum, { killedAtMs }) => sum + killedAtMs.length, 0)
}

async function killing(
  scene: Scene,
  dice: Dice,
  { killEveryMs, killsMax }: TwoStepOptions,
  signal: AbortSignal,
): Promise<void> {
  while (killsOf(scene) < killsMax && (await pause(killEveryMs, signal))) {
    // One at a time: otherwise a slow machine would have none that runs.
    if (scene.services.every(({ isRunning }) => isRunning)) dice.pick(scene.services).kill9()
  }
}

async function restartKafka({ kafka }: Scene, say: (line: string) => void): Promise<void> {
  say('killing Kafka')
  await kafka.kill()
  await kafka.restart()
  say('Kafka is there again')
}

async function progress(standing: () => string, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  while (await pause(PROGRESS_MS, signal)) say(standing())
}

/** An operator who gives refused mails another try, as long as the run lasts. */
async function redriving({ kafka }: Scene, signal: AbortSignal): Promise<number> {
  await using letters = await openLetters(kafka.bootstrap)
  let redriven = 0
  while (await pause(REDRIVE_EVERY_MS, signal)) redriven += await redriveAll(letters).catch(() => 0)
  return redriven
}

/** With an SMTP that takes all, no dead letter comes back; none may be there for another reason. */
async function redriveRest({
  kafka,
  catcher,
}: Scene): Promise<{ readonly redriven: number; readonly wrongs: string[] }> {
  await using letters = await openLetters(kafka.bootstrap)
  const before = catcher.mails.total
  const redriven = await redriveAll(letters)
  const byMs = performance.now() + REST_WITHIN_MS
  while (catcher.mails.total < before + redriven && performance.now() < byMs) await sleep(POLL_MS)
  const { letters: all } = await letters.list({ state: 'open' })
  const strange = await letters.list({}, { limit: 1_000 })
  return {
    redriven,
    wrongs: [
      ...all.map(({ letter, code, detail }) => `${letter} is a dead letter at the end: ${code} ${detail}`),
      ...strange.letters
        .filter(({ code }) => code !== 'WORKER_REFUSED')
        .map(({ letter, code, detail }) => `${letter} died of ${code}: ${detail}`),
    ],
  }
}

async function redriveAll(letters: EventDeadLetters): Promise<number> {
  const { redriven } = await letters.redrive({ filter: {} }, { by: 'e2e', ratePerSecond: REDRIVE_RATE, force: true })
  return redriven
}

function openLetters(bootstrap: string): Promise<EventDeadLetters> {
  return openDeadLetters({ broker: kafkaBroker({ bootstrap: [bootstrap] }), group: GROUP, events: ACCOUNT_EVENTS })
}

const REST_WITHIN_MS = 30_000
const POLL_MS = 50

/** Everybody that the service which came last has heard of, as soon as they are so many. */
async function readersOf(url: string, count: number): Promise<ReadonlySet<string>> {
  const byMs = performance.now() + REST_WITHIN_MS
  for (;;) {
    const readers = new Set<string>()
    for (let after: number | undefined = 0; after !== undefined; ) {
      const response = await fetch(`${url}/api/recommendations?after=${after}`)
      const page = (await response.json()) as { readers: { userId: string }[]; next?: number }
      for (const { userId } of page.readers) readers.add(userId)
      after = page.next
    }
    if (readers.size >= count || performance.now() > byMs) return readers
    await sleep(POLL_MS)
  }
}

/** False when it is over. */
async function pause(forMs: number, signal: AbortSignal): Promise<boolean> {
  await sleep(forMs, undefined, { signal }).catch(() => {})
  return !signal.aborted
}

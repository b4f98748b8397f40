import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { TopicSpec } from '../broker.ts'
import type { ChildModule, ContractTest } from './contract.ts'
import { type ContractLog, consume, range, record, records, text } from './contract-log.ts'
import { offsetsOf, RecordReader } from './readers.ts'

export const crashTests: readonly ContractTest[] = [
  {
    name: 'what publish acknowledged before a kill -9 is there afterwards, where it was said to be',
    async run(log) {
      const { child } = log.harness
      if (child === undefined) return log.skip('no child process can reach this log')
      await killWhilePublishing(log, child, 1)
    },
  },
  {
    name: 'a kill -9 after a commit brings back what was unsettled, and the done-set where it survives a restart',
    async run(log) {
      const { child } = log.harness
      if (child === undefined) return log.skip('no child process can reach this log')
      const topic = log.topic()
      const group = log.group()
      const first = await log.open([topic])
      await first.publish(records(topic, 30))
      await first.close()

      const consumer = startChild(child, { act: 'consume', topic, group })
      await consumer.lineThatIs('committed')
      await consumer.kill()

      const second = await log.open([topic])
      const { reader } = await consume(second, { topics: [topic.name], group })
      const [marker] = await second.publish([record(topic, 'marker')])
      const offsets = offsetsOf(await reader.takeUntil((one) => one.record.offset === marker!.offset))
      const unsettled = log.capabilities.doneSetSurvivesRestart
        ? [5, ...range(3, 15).map((half) => half * 2)]
        : range(5, 30)
      assert.deepEqual(offsets, [...unsettled, marker!.offset])
    },
  },
]

/** A child publishes in a loop and reports what was acknowledged; it is killed at a random moment, `rounds` times. */
export async function killWhilePublishing(log: ContractLog, child: ChildModule, rounds: number): Promise<void> {
  const topic = log.topic(3)
  const acknowledged = new Map<string, string>()
  await (await log.open([topic])).close()
  for (const round of range(0, rounds)) {
    const publisher = startChild(child, { act: 'publish', topic, group: `${round}` })
    publisher.onLine((line) => {
      const [position, value, end] = line.split(' ')
      if (position !== undefined && value !== undefined && end === 'acknowledged') acknowledged.set(position, value)
    })
    await publisher.firstLine
    await sleep(Math.random() * 120)
    await publisher.kill()
  }
  assert.ok(acknowledged.size >= rounds)

  const broker = await log.open([topic])
  for (const state of await broker.inspect({ topics: [topic.name] })) {
    if (state.end === 0) continue
    const listener = await broker.listen({ topic: topic.name, partition: state.partition, from: 'earliest' })
    for (const one of await new RecordReader(listener).takeUntil((last) => last.offset === state.end - 1)) {
      const position = `${one.partition}/${one.offset}`
      const value = text(one.value)!
      const expected = acknowledged.get(position)
      if (expected !== undefined) assert.equal(value, expected, `another record stands at ${position}`)
      acknowledged.delete(position)
    }
  }
  assert.deepEqual([...acknowledged.keys()], [], 'all that was acknowledged is there')
  await broker.close()
}

interface ChildOrder {
  readonly act: 'publish' | 'consume'
  readonly topic: TopicSpec
  readonly group: string
}

interface RunningChild {
  /** Resolves with the first line the child wrote; rejects when it ends without one. */
  readonly firstLine: Promise<string>
  onLine(hear: (line: string) => void): void
  lineThatIs(wanted: string): Promise<void>
  /** SIGKILL, and waits until it is gone and all it wrote has been read. */
  kill(): Promise<void>
}

function startChild(module: ChildModule, order: ChildOrder): RunningChild {
  const program = fileURLToPath(new URL('./crash-child.ts', import.meta.url))
  const process_ = spawn(process.execPath, [program, module.url, module.argument, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: process_.stdout })
  const closed = once(lines, 'close')
  const until = (wanted: (line: string) => boolean) =>
    new Promise<string>((resolve, reject) => {
      lines.on('line', (line) => wanted(line) && resolve(line))
      lines.on('close', () => reject(new Error('The child process ended too early.')))
    })
  return {
    firstLine: until(() => true),
    onLine(hear) {
      lines.on('line', hear)
    },
    async lineThatIs(wanted) {
      await until((line) => line === wanted)
    },
    async kill() {
      await ended(process_)
      await closed
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Rig, startProcess } from '../../scripts/rig/process.ts'
import { pythonPackages } from '../../scripts/rig/python-packages.ts'

/** A line for producer.py. */
export interface PythonEvent {
  readonly type: string
  readonly data: object
  readonly key?: string
  readonly structured?: boolean
  /** Attributes and extensions, by CloudEvents' names. */
  readonly [attribute: string]: unknown
}

export interface PythonProducer extends AsyncDisposable {
  /** Resolves when the log has it. */
  publish(event: PythonEvent): Promise<{ readonly id: string; readonly partition: number; readonly offset: number }>
}

/** producer.py, one event after the other. It ends when nobody writes to it any more, so also with this process. */
export async function startPythonProducer(bootstrap: string, topic: string): Promise<PythonProducer> {
  const child = spawn(await python(), ['-B', join(import.meta.dirname, 'producer.py'), bootstrap, topic], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    async publish(event) {
      child.stdin.write(`${JSON.stringify(event)}\n`)
      const { value } = await lines.next()
      const [, id, partition, offset] = /^published (\S+) (\d+) (\d+)$/.exec(value ?? '') ?? []
      if (id === undefined) throw new Error(`producer.py did not publish: ${value}`)
      return { id, partition: Number(partition), offset: Number(offset) }
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

/** consumer.py; each event is a line of its output. */
export async function startPythonConsumer(bootstrap: string, group: string, topic: string): Promise<Rig> {
  const args = ['-B', join(import.meta.dirname, 'consumer.py'), bootstrap, group, topic]
  return startProcess({ name: 'consumer.py', command: await python(), args })
}

/** One with what requirements.txt names, made on the first call. */
async function python(): Promise<string> {
  const requirements = readFileSync(join(import.meta.dirname, 'requirements.txt'), 'utf8')
    .trim()
    .split('\n')
  return join(await pythonPackages(requirements), 'bin/python')
}

import { fileURLToPath } from 'node:url'
import { freePort, startProcess } from '../../scripts/rig/process.ts'
import { createTopics, deleteTopics } from '../kafka-topics.ts'
import type { Subject } from './subject.ts'

/** The do-it-yourself gateway, runtime and worker of ../diy. */
export const diy: Subject = {
  name: 'diy',
  shape: 'gateway, runtime, worker',
  needsKafka: true,
  async start(scenario, { bootstrap }) {
    const brokers = bootstrap!
    const prefix = `diy-${process.pid}-${++rounds}`
    await createTopics(brokers, { [`${prefix}-accept`]: 8, [`${prefix}-requests`]: 8, [`${prefix}-results`]: 1 })
    const [port, workPort] = [await freePort(), await freePort()]
    const start = (file: string, ...args: readonly string[]) =>
      startProcess({
        name: `diy ${file}`,
        command: process.execPath,
        args: [fileURLToPath(new URL(`../diy/${file}.ts`, import.meta.url)), ...args],
      })
    const runtime = start('runtime', brokers, String(workPort), prefix)
    const gateway = start('gateway', brokers, String(port), prefix)
    await runtime.listens(workPort)
    const worker = start('worker', String(workPort))
    const rigs = { gateway, runtime, worker }
    await Promise.all([...Object.values(rigs).map((rig) => rig.line(/ready/)), runtime.line(/a worker has joined/)])
    return {
      url: `http://127.0.0.1:${port}/${scenario === 'accept' ? 'accept' : 'call'}`,
      prefer: null,
      pids: Object.fromEntries(Object.entries(rigs).map(([name, rig]) => [name, rig.pid])),
      async [Symbol.asyncDispose]() {
        await Promise.all(Object.values(rigs).map((rig) => rig.stop()))
        await deleteTopics(brokers, prefix)
      },
    }
  },
}

let rounds = 0

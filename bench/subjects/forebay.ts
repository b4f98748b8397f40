import { fileURLToPath } from 'node:url'
import { type Forebay, startForebay } from '../../e2e/forebay.ts'
import { startProcess } from '../../scripts/rig/process.ts'
import { deleteTopics } from '../kafka-topics.ts'
import type { RunningSubject, Subject, SubjectContext } from './subject.ts'

const QUEUE = 'bench'

/** As many processes as the do-it-yourself one: a gateway (with its recorder), a dispatcher, a worker. */
export const forebayKafka: Subject = {
  name: 'forebay kafka',
  shape: 'gateway, dispatcher, worker',
  needsKafka: true,
  start: (scenario, context) =>
    start(scenario, context, {
      broker: `kafka://${context.bootstrap}`,
      processes: { gateway: ['gateway'], dispatcher: ['dispatcher'] },
    }),
}

export const forebayKafkaOne: Subject = {
  name: 'forebay kafka, one process',
  shape: 'server, worker',
  needsKafka: true,
  start: (scenario, context) =>
    start(scenario, context, { broker: `kafka://${context.bootstrap}`, processes: { server: null } }),
}

export const forebayEmbedded: Subject = {
  name: 'forebay embedded',
  shape: 'server, worker',
  needsKafka: false,
  start: (scenario, context) => start(scenario, context, { broker: 'embedded', processes: { server: null } }),
}

interface Deployment {
  readonly broker: string
  /** Roles by the name of the process; null plays all. */
  readonly processes: Readonly<Record<string, readonly string[] | null>>
}

/** For 'accept' no worker dials in: the dispatcher's window fills up and stays. */
async function start(scenario: string, context: SubjectContext, deployment: Deployment): Promise<RunningSubject> {
  await using stack = new AsyncDisposableStack()
  if (deployment.broker !== 'embedded') stack.defer(() => deleteTopics(context.bootstrap!, 'forebay.'))
  const servers: Record<string, Forebay> = {}
  for (const [name, roles] of Object.entries(deployment.processes)) {
    const config = { broker: deployment.broker, queues: { [QUEUE]: {} } }
    servers[name] = stack.use(
      await startForebay({ config, env: context.nodeEnv, ...(roles === null ? {} : { roles }) }),
    )
  }
  const pids = Object.fromEntries(Object.entries(servers).map(([name, { rig }]) => [name, rig.pid]))
  if (scenario === 'roundtrip') {
    const worker = startProcess({
      name: 'worker',
      command: process.execPath,
      args: [WORKER, (servers.dispatcher ?? servers.server)!.grpc, QUEUE],
      env: context.nodeEnv,
    })
    stack.use(worker)
    await worker.line(/ready/)
    pids.worker = worker.pid
  }
  const started = stack.move()
  return {
    url: `${(servers.gateway ?? servers.server)!.url}/v1/queues/${QUEUE}/tasks`,
    prefer: scenario === 'roundtrip' ? 'wait=10' : null,
    pids,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

const WORKER = fileURLToPath(new URL('forebay-worker.ts', import.meta.url))

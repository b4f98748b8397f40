import { createWorker } from '@forebay/sdk/worker'

const [server = '127.0.0.1:8081'] = process.argv.slice(2)

const worker = createWorker({
  server,
  name: 'hello',
  queues: { hello: (task) => `Hello, ${task.json<string>()}!\n` },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => worker.stop())

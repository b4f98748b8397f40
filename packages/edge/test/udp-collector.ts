import { collectOn, collectorOptions, openLog } from './edge-rig.ts'

/** Collects by UDP until it is killed, or its input ends: `DIR PORT`. Says its port. */
const [dir, port] = process.argv.slice(2) as [string, string]
const broker = await openLog(dir)
const udp = { host: '127.0.0.1', port: Number(port) }
const options = collectorOptions(dir, { syslog: { udp, tcp: null, unix: null, format: 'json' } })
const collector = await collectOn(broker, options)
process.stdout.write(`${collector.ports.udp}\n`)
for await (const _ of process.stdin);
await collector.stop()
await broker.close()

import { createInterface } from 'node:readline'
import { pino } from 'pino'

/**
 * A service that logs: `pino-service.ts OPTIONS` with the transport's options as JSON. Reads commands: a number logs so many
 * lines and says so; `exit` ends at once, as process.exit in the middle of everything does; the end of input ends in order.
 */
const transport = pino.transport({ target: '@forebay/edge/pino', options: JSON.parse(process.argv[2]!) })
const logger = pino({ base: { hostname: 'web-1' } }, transport)
const trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'
let serial = 0
// pino flushes at exit only what is not garbage by then, and a program that has run to its end holds nothing.
process.on('exit', () => logger.isLevelEnabled('info'))

for await (const command of createInterface(process.stdin)) {
  if (command === 'exit') process.exit(0)
  for (let left = Number(command); left > 0; left--)
    logger.info({ serial, trace_id, password: 'sesame' }, `line ${serial++}`)
  process.stdout.write(`${serial}\n`)
}

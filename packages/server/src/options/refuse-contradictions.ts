import type { ReadOptions, ReadQueue } from '../options-schema.ts'
import { formatDuration } from './duration.ts'
import { type Place, quote } from './field.ts'
import { formatRate } from './rate-field.ts'
import { formatSize } from './size.ts'

/** Keys of a queue that do not go together, or not with what holds for all queues. */
export function refuseContradictions(queue: ReadQueue, read: ReadOptions, place: Place): void {
  refuseKeyWithoutParameter(queue, place)
  refuseIdleKeyLimits(queue, place.at('perKey'))
  refuseLongerThanRetention(queue, read, place)
  if (queue.bodyMax !== null && queue.bodyMax > read.http.bodyMax) {
    const message = `http.bodyMax (${formatSize(read.http.bodyMax)}) is the largest body of any queue.`
    place.at('bodyMax').refuse(queue.bodyMax, message, 'Raise http.bodyMax, or write less.')
  }
}

function refuseKeyWithoutParameter({ key, route }: ReadQueue, place: Place): void {
  if (key?.from !== 'path') return
  if (route === null) {
    const message = `path.${key.parameter} needs a route.`
    const fix = `Add a route with {${key.parameter}}, as 'POST /things/{${key.parameter}}'.`
    place.at('key').refuse(`path.${key.parameter}`, message, fix)
  } else if (!route.parameters.includes(key.parameter)) {
    const has = route.parameters.length === 0 ? 'nothing' : route.parameters.map((one) => `{${one}}`).join(', ')
    const message = `The route ${quote(route.path)} has ${has} for path.${key.parameter}.`
    const fix = route.parameters[0] ? `Write path.${route.parameters[0]}.` : `Put {${key.parameter}} into the route.`
    place.at('key').refuse(`path.${key.parameter}`, message, fix)
  }
}

/** Limits for one key that another limit makes idle: whoever wrote them expects something of them. */
function refuseIdleKeyLimits({ order, perKey, concurrency, rate }: ReadQueue, place: Place): void {
  if (perKey.concurrency !== null && order === 'key') {
    const message = 'With `order: key` one task of a key runs at a time anyway.'
    place.at('concurrency').refuse(perKey.concurrency, message, 'Take it out, or write `order: none`.')
  } else if (perKey.concurrency !== null && perKey.concurrency > concurrency) {
    const message = `The queue runs ${concurrency} attempts at once in all (\`concurrency\`).`
    place.at('concurrency').refuse(perKey.concurrency, message, `Write ${concurrency} or less, or take it out.`)
  }
  if (perKey.rate === null || rate === null) return
  if (perKey.rate.count / perKey.rate.perMs > rate.count / rate.perMs) {
    const message = `The queue begins ${formatRate(rate)} in all (\`rate\`).`
    place.at('rate').refuse(formatRate(perKey.rate), message, `Write ${formatRate(rate)} or less, or take it out.`)
  }
}

function refuseLongerThanRetention(queue: ReadQueue, { retention }: ReadOptions, place: Place): void {
  const kept = formatDuration(retention)
  const fix = `Write ${kept} or less, or raise \`retention\`.`
  const { deadline, idempotency } = queue
  if (deadline !== null && deadline > retention) {
    const message = `Tasks may take ${formatDuration(deadline)}, but records are kept ${kept}.`
    place.at('deadline').refuse(deadline, message, fix)
  }
  if (idempotency.window !== null && idempotency.window > retention) {
    const message = `A key would stand ${formatDuration(idempotency.window)} for a result that is kept ${kept}.`
    place.at('idempotency', 'window').refuse(idempotency.window, message, fix)
  }
}

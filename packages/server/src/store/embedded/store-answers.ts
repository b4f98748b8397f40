import { type Handlers, Transferring } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol/errors'
import type { StoreCalls } from './store-calls.ts'
import { StoreFile } from './store-file.ts'

/** What whoever owns the file answers to each call; the first call opens it. */
export function storeAnswers(): Handlers<StoreCalls> {
  let opened: StoreFile | null = null

  function store(): StoreFile {
    if (opened === null) throw new ForebayError('CLOSED', 'The store is not open.')
    return opened
  }

  return {
    open(request) {
      opened = new StoreFile(request)
      return undefined
    },
    positions: (topic) => store().positions(topic),
    write(request) {
      const written = store().write(request)
      if (written.kind !== 'written') return written
      const records = written.parking.flatMap((one) => (one.kind === 'taken' ? [one.rows.records] : []))
      return new Transferring(written, records)
    },
    read: (taskIds) => store().read(taskIds),
    readOutputs(request) {
      const found = store().outputs.read(request)
      return found === null ? null : new Transferring(found, [found.bodies])
    },
    listCallbacks: (filter) => store().callbacks.list(filter),
    nextCallback: ({ nowMs }) => store().callbacks.nextDueMs(nowMs),
    rebuild(topic) {
      store().rebuild(topic)
      return undefined
    },
    parkedFind({ queue, taskId }) {
      const found = store().parked.find(queue, taskId)
      return new Transferring(found, [found.records])
    },
    parkedList: (query) => store().parked.list(query),
    lastFired: ({ queue, schedule }) => store().parked.lastFired(queue, schedule),
    sweep: (request) => store().sweep(request),
    close() {
      opened?.close()
      opened = null
      return undefined
    },
  }
}

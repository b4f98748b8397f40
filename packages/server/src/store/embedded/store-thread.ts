import { parentPort } from 'node:worker_threads'
import { answerCalls, Transferring } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import type { StoreCalls } from './store-calls.ts'
import { StoreFile } from './store-file.ts'

/** The thread that owns the file. SQLite blocks, so it is used here and nowhere else. */
let opened: StoreFile | null = null

if (parentPort === null) throw new Error('store-thread.ts runs as a worker thread only.')

answerCalls<StoreCalls>(parentPort, {
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
})

function store(): StoreFile {
  if (opened === null) throw new ForebayError('CLOSED', 'The store is not open.')
  return opened
}

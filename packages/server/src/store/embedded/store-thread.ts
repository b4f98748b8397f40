import { parentPort } from 'node:worker_threads'
import { answerCalls } from '@forebay/broker/embedded'
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
  write: (request) => store().write(request),
  read: (taskIds) => store().read(taskIds),
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

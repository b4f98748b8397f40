import { parentPort } from 'node:worker_threads'
import { ForebayError } from '@forebay/protocol/errors'
import type { LogCalls } from './log-calls.ts'
import { LogFile } from './log-file.ts'
import { retain } from './retention.ts'
import { seekTime } from './seek-time.ts'
import { answerCalls, Transferring } from './thread-call.ts'

/** The thread that owns the file. SQLite blocks, so it is used here and nowhere else. */
let opened: LogFile | null = null

if (parentPort === null) throw new Error('log-thread.ts runs as a worker thread only.')

answerCalls<LogCalls>(parentPort, {
  open(request) {
    opened = new LogFile(request)
    return { partitions: opened.partitions(), positions: opened.positions() }
  },
  append: (request) => log().append(request),
  read(request) {
    const result = log().read(request)
    return new Transferring(result, [result.buffer])
  },
  commit(positions) {
    log().commit(positions)
    return undefined
  },
  retain: (request) => retain(log(), request),
  seekTime: (request) => seekTime(log(), request),
  addTopics: (topics) => log().addTopics(topics),
  close() {
    opened?.close()
    opened = null
    return undefined
  },
})

function log(): LogFile {
  if (opened === null) throw new ForebayError('CLOSED', 'The log is not open.')
  return opened
}

import { parentPort } from 'node:worker_threads'
import { answerCalls } from '@forebay/broker/embedded'
import { storeAnswers } from './store-answers.ts'
import type { StoreCalls } from './store-calls.ts'

/** The thread that owns the file. SQLite blocks, so it is used here and nowhere else. */
if (parentPort === null) throw new Error('store-thread.ts runs as a worker thread only.')

answerCalls<StoreCalls>(parentPort, storeAnswers())

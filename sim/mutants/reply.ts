import type { Mutant } from './mutant.ts'

const REPLIES = 'packages/server/src/reply/log-replies.ts'

export const REPLY_MUTANTS: readonly Mutant[] = [
  {
    name: 'a reader looks, and only then subscribes',
    file: REPLIES,
    find: `        const view = await lookUp(id)
        if (waiter === null || (view !== null && isEndState(view.state))) return view
        await waiter.wait(waitMs, signal)
`,
    replace: `        const view = await lookUp(id)
        if (waiter === null || (view !== null && isEndState(view.state))) return view
        waiter.release(null)
        const late = others.add(id.id)
        await late?.wait(waitMs, signal)
`,
    caughtBy: ['V-5'],
    seedsMax: 300,
  },
  {
    name: 'a reader trusts its store without asking how far the log reaches',
    file: REPLIES,
    find: '        await barrier.pass(id.lane)\n',
    replace: '',
    caughtBy: ['V-3'],
    seedsMax: 60,
  },
]

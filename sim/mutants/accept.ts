import type { Mutant } from './mutant.ts'

const SUBMIT = 'packages/server/src/accept/submit.ts'

export const ACCEPT_MUTANTS: readonly Mutant[] = [
  {
    name: 'the caller is told "kept" before the log has it',
    file: SUBMIT,
    find: '    await append(task, queue, claim, expectation, callback !== null)\n',
    replace: '    void append(task, queue, claim, expectation, callback !== null).catch(() => {})\n',
    caughtBy: ['D-1'],
    seedsMax: 10,
  },
  {
    name: 'an append with an unknown outcome is called refused',
    file: SUBMIT,
    find: '      if (!refused) {\n',
    replace: '      if (false) {\n',
    caughtBy: ['D-3', 'I-1'],
    seedsMax: 20,
  },
  {
    name: 'the record goes to the log before its idempotency key is claimed',
    file: SUBMIT,
    find: '    const reservation = await reserve(name, submission, callback)\n',
    replace: `    await append(task, queue, null, null, false)
    const reservation = await reserve(name, submission, callback)\n`,
    caughtBy: ['I-1', 'D-3'],
    seedsMax: 10,
  },
  {
    name: 'a claim whose append is in doubt is given free',
    file: SUBMIT,
    find: '        if (claim !== null) await doubt(claim)\n        throw outcomeUnknown',
    replace: "        if (claim !== null) await settle('release', claim)\n        throw outcomeUnknown",
    caughtBy: ['I-1'],
    seedsMax: 60,
  },
  {
    name: 'the answer of a task that two appended is the first one heard',
    file: SUBMIT,
    find: "    if (settled !== 'sole') {\n",
    replace: '    if (false) {\n',
    caughtBy: ['V-1', 'V-2'],
    seedsMax: 200,
  },
  {
    name: 'the fingerprint of a request leaves its body out',
    file: 'packages/server/src/accept/idempotency.ts',
    find: ".update(head).update(payload).digest('base64url')",
    replace: ".update(head).digest('base64url')",
    caughtBy: ['I-2'],
    seedsMax: 20,
  },
  {
    name: 'a cancellation is called off without its result in the log',
    file: 'packages/server/src/accept/cancel-task.ts',
    find: '      await publish(result, id.lane)\n',
    replace: '      await publish(result, id.lane).catch(() => {})\n',
    caughtBy: ['C-1', 'C-2', 'D-2', 'L-1', 'O-3'],
    seedsMax: 300,
  },
  {
    name: 'who reads past the deadline is told "expired" without asking the log',
    file: 'packages/server/src/accept/read-task.ts',
    find: '    return { id, view: await expire(id, owner) }\n',
    replace: `    const fault = { code: 'TASK_EXPIRED', detail: 'The deadline passed before the task came to an end.' } as const
    const told = { taskId: id.id, queue: id.queue, owner, attempts: 0, generation: 0, state: 'expired' } as const
    return { id, view: { ...told, finishedAtMs: id.deadlineAtMs, fault, payload: null, contentType: null } }\n`,
    caughtBy: ['V-1', 'V-2'],
    seedsMax: 300,
  },
]

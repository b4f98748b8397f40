import { header, type Json, jsonContent, parameter, schema } from './json.ts'
import type { Operations } from './operation.ts'
import { problemAnswers, TASK_END_CODES } from './problems.ts'
import { anyBody } from './queue-operations.ts'
import { ABOUT_END, RESULT_BYTES, submitOperation } from './submit-operation.ts'

export const READ_CODES = [
  'UNAUTHENTICATED',
  'TASK_NOT_FOUND',
  'TASK_GONE',
  'STORE_BEHIND',
  'STORE_UNAVAILABLE',
  'STOPPING',
  'CLOSED',
] as const

export const TASK_OPERATIONS: Operations = {
  'POST /v1/queues/{queue}/tasks': (parts) => {
    const plain = parts.queues.find(
      ({ schema: declared, key, idempotency }) => !declared && !key && !idempotency.required,
    )
    const shown = plain ?? parts.queues[0]
    const queue = {
      name: 'queue',
      in: 'path',
      required: true,
      description: 'A queue of the configuration; each has an address of its own below, with what it takes.',
      schema: { type: 'string' },
      ...(shown === undefined ? {} : { example: shown.name }),
    }
    return submitOperation(
      {
        operationId: 'submitTask',
        summary: 'Hands in a task',
        description:
          'The body is the task, byte for byte. Answers 202 once the log has it, or with the result if the caller waited and it came.',
        tag: 'tasks',
        queue: null,
        pathParameters: [queue],
        body: anyBody({ hello: 'world' }),
      },
      parts,
    )
  },

  'GET /v1/tasks/{id}': () => ({
    operationId: 'getTask',
    tags: ['tasks'],
    summary: 'How a task stands',
    parameters: [parameter('TaskId'), parameter('Prefer')],
    responses: {
      200: taskAnswer('How it stands; with a wait, as soon as it has ended or the wait is over.'),
      ...problemAnswers(...READ_CODES),
    },
  }),

  'DELETE /v1/tasks/{id}': () => ({
    operationId: 'cancelTask',
    tags: ['tasks'],
    summary: 'Cancels a task',
    description: 'A task that waits is not handed out any more; one that runs is called off. The answer is final.',
    parameters: [parameter('TaskId')],
    responses: {
      200: taskAnswer('It is cancelled, now or before.'),
      ...problemAnswers(...READ_CODES, 'TASK_ENDED', 'OUTCOME_UNKNOWN', 'NOT_ACCEPTED', 'BROKER_UNAVAILABLE'),
    },
  }),

  'GET /v1/tasks/{id}/result': () => ({
    operationId: 'getResult',
    tags: ['tasks'],
    summary: 'The result of a task',
    parameters: [parameter('TaskId'), parameter('Prefer')],
    responses: {
      200: {
        description: 'The result, in the bytes and the type that the worker gave it.',
        headers: { ...ABOUT_END, Location: header('Location'), 'Preference-Applied': header('PreferenceApplied') },
        content: RESULT_BYTES,
      },
      ...problemAnswers(...READ_CODES, 'RESULT_NOT_READY', 'BLOB_UNAVAILABLE', 'OVERLOADED', ...TASK_END_CODES),
    },
  }),
}

function taskAnswer(description: string): Json {
  const headers = { 'Preference-Applied': header('PreferenceApplied') }
  return { description, headers, content: jsonContent(schema('Task')) }
}

import type { QueueOptions } from '../options.ts'
import { ANY_TYPE, header, type Json, jsonContent, parameter, schema } from './json.ts'
import type { DocumentParts } from './operation.ts'
import { problemAnswers, TASK_END_CODES } from './problems.ts'

export interface Submission {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly tag: string
  /** Null: any queue, named in the path. */
  readonly queue: QueueOptions | null
  /** Of the path. */
  readonly pathParameters: readonly Json[]
  readonly body: Json
}

/** Handing a task in, by whichever of its routes. */
export function submitOperation(submission: Submission, { delays, callbacks }: DocumentParts): Json {
  const { queue } = submission
  const idempotencyKey = { ...parameter('IdempotencyKey') }
  const required = queue?.idempotency.required ?? false
  return {
    operationId: submission.operationId,
    tags: [submission.tag],
    summary: submission.summary,
    description: submission.description,
    parameters: [
      ...submission.pathParameters,
      parameter('Prefer'),
      required ? parameter('IdempotencyKeyRequired') : idempotencyKey,
      parameter(keyIsElsewhere(submission) ? 'KeyRequired' : 'Key'),
      ...(queue === null ? [] : namedHeaders(queue)),
      ...(delays ? [parameter('Delay'), parameter('NotBefore')] : []),
      parameter('Deadline'),
      parameter('Priority'),
      ...(callbacks ? [parameter('Callback')] : []),
      parameter('Traceparent'),
    ],
    requestBody: { required: queue?.schema != null, content: submission.body },
    responses: {
      200: {
        description:
          'The caller waited and the task succeeded: its result, in the bytes and the type that the worker gave it.',
        headers: {
          ...ABOUT_KEY,
          ...ABOUT_END,
          'Preference-Applied': header('PreferenceApplied'),
          Location: header('Location'),
        },
        content: RESULT_BYTES,
      },
      202: {
        description: 'The task is kept: no crash loses it any more. Its result will be at `links.result`.',
        headers: {
          Location: header('Location'),
          'Retry-After': header('RetryAfter'),
          'Preference-Applied': header('PreferenceApplied'),
          ...ABOUT_KEY,
        },
        content: jsonContent(schema('Accepted')),
      },
      ...problemAnswers(
        'KEY_MISSING',
        'MALFORMED_JSON',
        'UNAUTHENTICATED',
        'IDEMPOTENCY_KEY_MISSING',
        'IDEMPOTENCY_IN_FLIGHT',
        'IDEMPOTENCY_MISMATCH',
        'QUEUE_NOT_FOUND',
        'REQUEST_TIMEOUT',
        'TASK_TOO_LARGE',
        'SCHEMA_MISMATCH',
        'DELAY_UNAVAILABLE',
        'CALLBACK_UNAVAILABLE',
        'CALLBACK_REFUSED',
        'OVERLOADED',
        'NOT_ACCEPTED',
        'OUTCOME_UNKNOWN',
        'STORE_UNAVAILABLE',
        'BLOB_UNAVAILABLE',
        'BROKER_UNAVAILABLE',
        'STOPPING',
        'CLOSED',
        ...TASK_END_CODES,
      ),
    },
  }
}

/** Any type; generated clients that know none of it hand out the bytes. */
export const RESULT_BYTES: Json = {
  'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
  [ANY_TYPE]: {},
}

export const ABOUT_END: Json = { 'Forebay-Task': header('TaskId'), 'Forebay-State': header('TaskState') }

const ABOUT_KEY: Json = {
  'Idempotent-Replayed': header('IdempotentReplayed'),
  'Forebay-Idempotency-Expires': header('IdempotencyExpires'),
}

/** Where the queue's key stands in the path of another address. */
function keyIsElsewhere({ queue, pathParameters }: Submission): boolean {
  const key = queue?.key
  return key?.from === 'path' && !pathParameters.some(({ name }) => name === key.parameter)
}

/** Those that this queue goes by: where its key stands, and by what it shares capacity. */
function namedHeaders({ key, fairness }: QueueOptions): Json[] {
  const found = new Map<string, string>()
  if (key?.from === 'header') found.set(key.header, 'The ordering key of the task, unless Forebay-Key gives one.')
  if (fairness?.by.from === 'header' && !found.has(fairness.by.header)) {
    found.set(fairness.by.header, 'Among the values of this header capacity is shared.')
  }
  return [...found].map(([name, description]) => {
    return { name, in: 'header', required: false, description, schema: { type: 'string' }, example: 'one-7' }
  })
}

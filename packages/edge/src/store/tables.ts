/**
 * The tables of the log store, once for every engine. Columns are named for SQL: `requestBytes` of a row is
 * `request_bytes` here, so that no name needs quotes anywhere.
 */
export interface Table {
  readonly name: TableName
  readonly columns: readonly Column[]
  /** Stores that were made before these have been there go on, and get them. */
  readonly addedColumns: readonly Column[]
}

export type TableName = 'access' | 'undecodable' | 'dropped' | 'others' | 'logs' | 'task_records' | 'events'

export interface Column {
  readonly name: string
  readonly type: ColumnType
  /** Member of the JSON document. */
  readonly member: string
}

/** `time` is UTC; `json` is a document as text. */
export type ColumnType = 'text' | 'integer' | 'number' | 'boolean' | 'time' | 'json'

/** Of every table, after its own: what a row stands for, as docs/edge.md says. */
export const PLACE_COLUMNS = ['source', 'epoch', 'first_byte', 'end_byte'] as const

/** Of a row of `task_records`, in the SQL of every engine: it says how a task ended. */
export const ENDED = "state IN ('succeeded', 'failed', 'dead', 'cancelled', 'expired')"

export const TABLES: readonly Table[] = [
  table('access', {
    time: 'time',
    server: 'text',
    host: 'text',
    client: 'text',
    method: 'text',
    path: 'text',
    query: 'text',
    protocol: 'text',
    status: 'integer',
    requestBytes: 'integer',
    responseBytes: 'integer',
    seconds: 'number',
    upstream: 'text',
    upstreamStatus: 'integer',
    connectSeconds: 'number',
    headerSeconds: 'number',
    upstreamSeconds: 'number',
    tls: 'text',
    cipher: 'text',
    cache: 'text',
    userAgent: 'text',
    referer: 'text',
    requestId: 'text',
    trace: 'text',
    task: 'text',
    connection: 'integer',
    connectionRequests: 'integer',
    tags: 'json',
  }),
  table('undecodable', { time: 'time', reason: 'text', bytes: 'text', continues: 'boolean' }, { redacted: 'boolean' }),
  table(
    'dropped',
    { time: 'time', reason: 'text', first: 'integer', end: 'integer', lines: 'integer' },
    { from: 'time', until: 'time' },
  ),
  table('logs', {
    time: 'time',
    severity: 'integer',
    severityText: 'text',
    body: 'text',
    service: 'text',
    server: 'text',
    scope: 'text',
    event: 'text',
    trace: 'text',
    span: 'text',
    task: 'text',
    attributes: 'json',
    resource: 'json',
  }),
  table('others', { time: 'time', kind: 'text', document: 'json' }),
  table('task_records', {
    time: 'time',
    task: 'text',
    queue: 'text',
    key: 'text',
    owner: 'text',
    state: 'text',
    attempts: 'integer',
    generation: 'integer',
    trace: 'text',
    code: 'text',
    detail: 'text',
  }),
  table('events', {
    time: 'time',
    topic: 'text',
    partition: 'integer',
    offset: 'integer',
    id: 'text',
    type: 'text',
    origin: 'text',
    subject: 'text',
    key: 'text',
    trace: 'text',
    bytes: 'integer',
  }),
]

/** Where the rows of each kind are; those of other kinds are kept whole in `others`. */
export const TABLE_OF_KIND: Readonly<Record<string, TableName>> = {
  access: 'access',
  undecodable: 'undecodable',
  dropped: 'dropped',
  log: 'logs',
}

type Members = Readonly<Record<string, ColumnType>>

function table(name: TableName, members: Members, added: Members = {}): Table {
  const columnsOf = (given: Members) =>
    Object.entries(given).map(([member, type]) => ({ name: columnName(member), type, member }))
  return { name, columns: columnsOf({ ...members, ...added }), addedColumns: columnsOf(added) }
}

/** `end`, `from` and `offset` are words of SQL. */
function columnName(member: string): string {
  if (/^(first|end|from|until)$/.test(member)) return `lost_${member}`
  if (member === 'offset') return 'log_offset'
  if (member === 'partition') return 'log_partition'
  return member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

-- The rows of forebay.edge.access in ClickHouse. {brokers}, {topic} and {group} are for whoever runs it to fill in.
-- Fields that are not named here are skipped, and those that a record does not have get their default.

CREATE TABLE edge_queue (
  kind String,
  time String,
  server String,
  host String,
  client String,
  method String,
  path String,
  query String,
  protocol String,
  status Nullable(UInt16),
  requestBytes Nullable(UInt64),
  responseBytes Nullable(UInt64),
  seconds Nullable(Float64),
  upstream String,
  upstreamStatus Nullable(UInt16),
  connectSeconds Nullable(Float64),
  headerSeconds Nullable(Float64),
  upstreamSeconds Nullable(Float64),
  tls String,
  cipher String,
  cache String,
  userAgent String,
  referer String,
  requestId String,
  trace String,
  task String,
  connection Nullable(UInt64),
  connectionRequests Nullable(UInt64),
  tags String,
  reason String,
  bytes String,
  lines Nullable(UInt64)
) ENGINE = Kafka SETTINGS
  kafka_broker_list = '{brokers}',
  kafka_topic_list = '{topic}',
  kafka_group_name = '{group}',
  kafka_format = 'JSONEachRow',
  -- Without it one record that is no such row would hold up all that come after it.
  kafka_handle_error_mode = 'stream';

-- Repeats have the same key: ask with FINAL, or they are there until ClickHouse merges.
CREATE TABLE edge_rows (
  source String,
  first UInt64,
  end UInt64,
  -- Rows of kind dropped are no lines: several may stand at one place, and a line as well. '' for all others.
  told String,
  kind LowCardinality(String),
  time DateTime64(3, 'UTC'),
  server LowCardinality(String),
  host LowCardinality(String),
  client String,
  method LowCardinality(String),
  path String,
  query String,
  protocol LowCardinality(String),
  status Nullable(UInt16),
  requestBytes Nullable(UInt64),
  responseBytes Nullable(UInt64),
  seconds Nullable(Float64),
  upstream String,
  upstreamStatus Nullable(UInt16),
  connectSeconds Nullable(Float64),
  headerSeconds Nullable(Float64),
  upstreamSeconds Nullable(Float64),
  tls LowCardinality(String),
  cipher LowCardinality(String),
  cache LowCardinality(String),
  userAgent String,
  referer String,
  requestId String,
  trace String,
  task String,
  connection Nullable(UInt64),
  connectionRequests Nullable(UInt64),
  tags String,
  reason LowCardinality(String),
  bytes String,
  lines Nullable(UInt64)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (source, first, told);

CREATE TABLE edge_unread (topic String, partition UInt64, offset UInt64, value String, error String)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset);

CREATE MATERIALIZED VIEW edge_read TO edge_rows AS
WITH splitByChar('-', _headers.value[indexOf(_headers.name, 'fb-sequence')]) AS place
SELECT
  _headers.value[indexOf(_headers.name, 'fb-source')] AS source,
  toUInt64OrZero(place[1]) AS first,
  toUInt64OrZero(place[2]) AS end,
  if(kind = 'dropped', concat(time, ' ', reason, ' ', toString(end), ' ', toString(lines)), '') AS told,
  COLUMNS('^[a-z]') REPLACE (parseDateTime64BestEffortOrZero(time, 3, 'UTC') AS time)
FROM edge_queue
WHERE _error = '' AND has(_headers.name, 'fb-source');

CREATE MATERIALIZED VIEW edge_failed TO edge_unread AS
SELECT _topic AS topic, _partition AS partition, _offset AS offset, _raw_message AS value, _error AS error
FROM edge_queue
WHERE _error != '' OR NOT has(_headers.name, 'fb-source');

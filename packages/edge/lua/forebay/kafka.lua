-- POST /produce/{topic} straight into Kafka, by lua-resty-kafka. What is answered here is only in the memory of one worker of nginx:
-- 202 `buffered`, never `durable`. Whatever is given up later is counted; and as long as nothing gets through, hardly anything is taken.

local message = require 'forebay.message'

local format, lower = string.format, string.lower

local M = {}

local SETTINGS = {
  producer_type = 'async',
  -- By all replicas that are in sync.
  required_acks = -1,
  -- The last that has it, of Kafka 0.10 to 3.9; from 4.0 on Kafka understands none of the library's (0.07 to 0.23).
  api_version = 2,
  -- So long an outage costs nothing: 40 tries, half a second between. Then what was on its way is given up.
  max_retry = 40,
  retry_backoff = 500,
  -- Messages of one worker; beyond it callers are refused. With `bytes` it bounds the memory.
  max_buffering = 4000,
  batch_num = 200,
  batch_size = 1048576,
  -- ms
  flush_time = 100,
  request_timeout = 5000,
  socket_timeout = 6000,
  -- Where the partitions are, without a reload of nginx.
  refresh_interval = 10000,
}

-- While it is not seen that messages get through, one is taken so often, and the others wait for what becomes of it.
local PROBE_S, LOOK_S, LOOKS = 1, 0.05, 20

local library, brokers, topics, bytes_max, dict, producer
-- Offsets that the library knows: they change when Kafka has acknowledged something.
local is_through, offsets_seen, probe_at = false, 0, 0

local function load_library()
  -- As opm installs it, and as Debian's package lua-nginx-kafka does.
  for _, name in ipairs({ 'resty.kafka.producer', 'nginx.kafka.producer' }) do
    local found, module = pcall(require, name)
    if found then return module end
  end
  error('forebay: lua-resty-kafka is not there. Try: opm get doujiang24/lua-resty-kafka, or apt-get install lua-nginx-kafka', 0)
end

-- In init: nginx must not start without it.
M.check = load_library

-- In init_worker. brokers: list of { host, port }; topics, bytes as in produce.lua.
function M.start(options)
  library = load_library()
  brokers, topics, bytes_max = options.brokers, message.set_of(options.topics), options.bytes
  dict = ngx.shared.forebay_kafka or error('forebay: there is no lua_shared_dict forebay_kafka')
  for _, name in ipairs({ 'buffered', 'refused', 'dropped' }) do
    dict:safe_add(name, 0)
  end
end

local function offsets()
  return tonumber((producer:offset()))
end

-- In the content phase: whether this worker may take a message now.
local function gets_through()
  for _ = 1, LOOKS do
    if not is_through then is_through = offsets() ~= offsets_seen end
    if is_through then return true end
    if ngx.now() >= probe_at then
      probe_at = ngx.now() + PROBE_S
      return true
    end
    ngx.sleep(LOOK_S)
  end
  return false
end

-- Every second place of the library's queue is a message.
local function given_up(topic, _, _, index, fault)
  is_through, offsets_seen = false, offsets()
  dict:incr('dropped', index / 2)
  ngx.log(ngx.ERR, 'forebay: ', index / 2, ' messages for ', topic, ' are lost: ', tostring(fault))
end

local function text_of(body)
  if type(body) == 'string' then return body end
  local text = body.file:read('*a')
  body.file:close()
  return text
end

-- What a record of the library has no place for would be lost unsaid.
local function has_event_headers(given)
  for name in pairs(given) do
    if lower(name):find('^ce%-') then return true end
  end
  return false
end

-- In the content phase.
function M.answer(topic)
  local body = message.take(topics, topic, bytes_max)
  if not body then return end
  local text, given = text_of(body), ngx.req.get_headers(0)
  local key = message.one_line(given['forebay-key'])
  if key == false then
    return message.problem(400, 'BAD_HEADER', 'forebay-key must stand once, without control characters.')
  end
  if has_event_headers(given) then
    return message.problem(400, 'BAD_HEADER', 'Records here have no headers: send the event as application/cloudevents+json.')
  end
  -- Here, as nginx lets nobody connect while its workers start.
  if not producer then
    SETTINGS.error_handle = given_up
    producer = library:new(brokers, SETTINGS)
  end
  -- While it does not know where a topic is, the library throws messages away at once.
  local ok, fault = producer.client:fetch_metadata(topic)
  if ok then
    ok, fault = gets_through(), 'nothing gets through to it'
  end
  if ok then
    ok, fault = producer:send(topic, key, text)
  end
  if not ok then
    dict:incr('refused', 1)
    return message.problem(503, 'NOT_ACCEPTED', 'Kafka does not take it: ' .. tostring(fault) .. '.', 'refused')
  end
  dict:incr('buffered', 1)
  ngx.status = 202
  ngx.header.content_type = 'application/json'
  ngx.print('{"outcome":"buffered","topic":"' .. topic .. '"}')
end

-- For a location: Prometheus' text form.
function M.status()
  ngx.header.content_type = 'text/plain; version=0.0.4'
  for _, name in ipairs({ 'buffered', 'refused', 'dropped' }) do
    local metric = 'forebay_nginx_kafka_' .. name .. '_total'
    ngx.print(format('# TYPE %s counter\n%s %d\n', metric, metric, dict:get(name)))
  end
end

return M

-- POST /produce/{topic}: hands a message to a collector, and says what the collector says. What nobody answered for is never
-- told as kept.

local http = require 'forebay.http'
local json = require 'forebay.json'

local find, format, lower, upper = string.find, string.format, string.lower, string.upper

local function gsub(text, pattern, by)
  return (string.gsub(text, pattern, by))
end

local M = {}

local collector, topics, bytes_max

-- collector as in ring.lua; topics: list of what may be produced to; bytes: of one message, at most.
function M.start(options)
  collector, topics, bytes_max = options.collector, {}, options.bytes
  for _, topic in ipairs(options.topics) do
    topics[topic] = true
  end
end

-- As gateways and collectors write theirs (RFC 9457); `outcome` says what became of the message.
local function problem(status, code, detail, outcome)
  local words = lower(code)
  ngx.status = status
  ngx.header.content_type = 'application/problem+json'
  if status == 503 then ngx.header.retry_after = '1' end
  ngx.print(
    format(
      '{"type":"urn:forebay:problem:%s","title":"%s","status":%d,"detail":"%s",%s"code":"%s","retryable":%s}',
      gsub(words, '_', '-'),
      gsub(gsub(words, '_', ' '), '^%l', upper),
      status,
      json.escape(detail),
      outcome and format('"outcome":"%s",', outcome) or '',
      code,
      status == 503 and 'true' or 'false'
    )
  )
end

-- What goes on to the collector, each at most once. The key of the caller is the collector's to judge.
local PASSED = {
  ['content-type'] = true,
  ['traceparent'] = true,
  ['tracestate'] = true,
  ['forebay-key'] = true,
  ['authorization'] = true,
}

-- Headers for the collector; nil and the name of one that cannot be written again as one line.
local function headers_of(given)
  local lines = {}
  for name, value in pairs(given) do
    name = lower(name)
    if PASSED[name] or find(name, '^ce%-[a-z0-9]+$') then
      if type(value) ~= 'string' or find(value, '%c') then return nil, name end
      lines[#lines + 1] = name .. ': ' .. value
    end
  end
  return lines
end

-- A string, or the open file in which nginx keeps a large body.
local function read_body()
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  if text then return text end
  local path = ngx.req.get_body_file()
  if not path then return '' end
  local file, fault = io.open(path, 'rb')
  if not file then return nil, fault end
  local length = file:seek('end')
  file:seek('set')
  return { file = file, length = length }
end

-- In the content phase.
function M.answer(topic)
  if not topics[topic] then return problem(404, 'ROUTE_NOT_FOUND', topic .. ' is no topic that may be produced to here.') end
  if ngx.req.get_method() ~= 'POST' then
    ngx.header.allow = 'POST'
    return problem(405, 'METHOD_NOT_ALLOWED', 'Only POST is understood here.')
  end
  local lines, bad = headers_of(ngx.req.get_headers(0))
  if not lines then return problem(400, 'BAD_HEADER', bad .. ' must stand once, without control characters.') end
  local body, fault = read_body()
  if not body then
    ngx.log(ngx.ERR, 'forebay: a body cannot be read: ', fault)
    return problem(503, 'NOT_ACCEPTED', 'The message could not be read again; nothing was kept.', 'refused')
  end
  local is_file = type(body) ~= 'string'
  if (is_file and body.length or #body) > bytes_max then
    if is_file then body.file:close() end
    return problem(413, 'TASK_TOO_LARGE', format('A message may have %d bytes.', bytes_max))
  end
  local answer, why, is_sent = http.post(collector, '/v1/edge/produce/' .. topic, lines, body)
  if is_file then body.file:close() end
  if answer then
    ngx.status = answer.status
    ngx.header.content_type = answer.headers['content-type']
    ngx.header.retry_after = answer.headers['retry-after']
    return ngx.print(answer.body)
  end
  ngx.log(ngx.WARN, 'forebay: the collector at ', collector, ' did not answer: ', why)
  if not is_sent then return problem(503, 'NOT_ACCEPTED', 'No collector is there; nothing was kept.', 'refused') end
  problem(503, 'OUTCOME_UNKNOWN', 'The collector went away before it answered; it may have the message.', 'unknown')
end

return M

-- POST /produce/{topic}: hands a message to a collector, and says what the collector says. What nobody answered for is never
-- told as kept.

local http = require 'forebay.http'
local message = require 'forebay.message'

local find, lower = string.find, string.lower

local M = {}

local collector, topics, bytes_max

-- collector as in ring.lua; topics: list of what may be produced to; bytes: of one message, at most.
function M.start(options)
  collector, topics, bytes_max = options.collector, message.set_of(options.topics), options.bytes
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
      if not message.one_line(value) then return nil, name end
      lines[#lines + 1] = name .. ': ' .. value
    end
  end
  return lines
end

-- In the content phase.
function M.answer(topic)
  local body = message.take(topics, topic, bytes_max)
  if not body then return end
  local is_file = type(body) ~= 'string'
  local lines, bad = headers_of(ngx.req.get_headers(0))
  local answer, why, is_sent
  if lines then
    answer, why, is_sent = http.post(collector, '/v1/edge/produce/' .. topic, lines, body)
  end
  if is_file then body.file:close() end
  if not lines then
    return message.problem(400, 'BAD_HEADER', bad .. ' must stand once, without control characters.')
  end
  if answer then
    ngx.status = answer.status
    ngx.header.content_type = answer.headers['content-type']
    ngx.header.retry_after = answer.headers['retry-after']
    return ngx.print(answer.body)
  end
  ngx.log(ngx.WARN, 'forebay: the collector at ', collector, ' did not answer: ', why)
  if not is_sent then
    return message.problem(503, 'NOT_ACCEPTED', 'No collector is there; nothing was kept.', 'refused')
  end
  message.problem(503, 'OUTCOME_UNKNOWN', 'The collector went away before it answered; it may have the message.', 'unknown')
end

return M

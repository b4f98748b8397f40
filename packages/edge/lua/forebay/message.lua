-- What both ways of producing have in common: what a message may be, and how a refusal is written.

local json = require 'forebay.json'

local format, lower, upper = string.format, string.lower, string.upper

local M = {}

local function gsub(text, pattern, by)
  return (string.gsub(text, pattern, by))
end

-- As gateways and collectors write theirs (RFC 9457); `outcome` says what became of the message.
function M.problem(status, code, detail, outcome)
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

-- The body as a string, or as { file, length } for whoever calls to close; nil when the request has been answered already.
function M.take(topics, topic, bytes_max)
  if not topics[topic] then
    return M.problem(404, 'ROUTE_NOT_FOUND', topic .. ' is no topic that may be produced to here.')
  end
  if ngx.req.get_method() ~= 'POST' then
    ngx.header.allow = 'POST'
    return M.problem(405, 'METHOD_NOT_ALLOWED', 'Only POST is understood here.')
  end
  local body, fault = read_body()
  if not body then
    ngx.log(ngx.ERR, 'forebay: a body cannot be read: ', fault)
    return M.problem(503, 'NOT_ACCEPTED', 'The message could not be read again; nothing was kept.', 'refused')
  end
  local is_file = type(body) ~= 'string'
  if (is_file and body.length or #body) <= bytes_max then return body end
  if is_file then body.file:close() end
  return M.problem(413, 'TASK_TOO_LARGE', format('A message may have %d bytes.', bytes_max))
end

-- A header that can be written again as one line. False for another, nil where there is none.
function M.one_line(value)
  if value == nil then return nil end
  return type(value) == 'string' and not value:find('%c') and value
end

function M.set_of(names)
  local set = {}
  for _, name in ipairs(names) do
    set[name] = true
  end
  return set
end

return M

-- One request as a line for the collector: the fields of the log format that `forebay nginx` writes, and what only Lua sees.

local json = require 'forebay.json'

local concat, sub = table.concat, string.sub
local escape = json.escape

local M = {}

-- In the order of the log format. Texts; numbers; and `plain` texts, in which nginx lets nothing stand that JSON would escape.
local FIELDS = {
  { 'time', 'time_iso8601', 'plain' },
  { 'clock', 'msec', 'number' },
  { 'client', 'remote_addr', 'plain' },
  { 'request', 'request' },
  { 'status', 'status', 'plain' },
  { 'upstreamStatus', 'upstream_status', 'plain' },
  { 'connectSeconds', 'upstream_connect_time', 'plain' },
  { 'headerSeconds', 'upstream_header_time', 'plain' },
  { 'upstreamSeconds', 'upstream_response_time', 'plain' },
  { 'referer', 'http_referer' },
  { 'traceparent', 'http_traceparent' },
  { 'location', 'sent_http_location' },
  { 'task', 'sent_http_forebay_task' },
  { 'server', 'hostname' },
  { 'host', 'host' },
  { 'requestBytes', 'request_length', 'number' },
  { 'responseBytes', 'bytes_sent', 'number' },
  { 'seconds', 'request_time', 'number' },
  { 'upstream', 'upstream_addr' },
  { 'tls', 'ssl_protocol', 'plain' },
  { 'cipher', 'ssl_cipher', 'plain' },
  { 'cache', 'upstream_cache_status', 'plain' },
  { 'userAgent', 'http_user_agent' },
  { 'requestId', 'request_id', 'plain' },
  { 'connection', 'connection', 'number' },
  { 'connectionRequests', 'connection_requests', 'number' },
}

local COUNT = #FIELDS
local VARIABLES, KINDS = {}, {}
-- Literal, value, literal, value, …: the values are filled in for each row. Nothing yields in between.
local parts = {}
local before = '{"nginx":1'
for index, field in ipairs(FIELDS) do
  local is_number = field[3] == 'number'
  VARIABLES[index], KINDS[index] = field[2], field[3] or 'text'
  parts[2 * index - 1] = before .. ',"' .. field[1] .. (is_number and '":' or '":"')
  before = is_number and '' or '"'
end

-- A longer text is cut, so that a row stays far below what a collector reads as one line (256 KiB) …
local TEXT_BYTES_MAX = 16384
-- … and when many are long, or grew as they were escaped, all are cut to this.
local TEXT_BYTES_SHORT = 1024
local ROW_BYTES_MAX = 131072
local TAGS_BYTES_MAX = 32768

local header_names, body_policy, body_bytes_max = {}, 'none', 0

-- headers: names in lower case; body: 'none', 'errors' (status 400 and more) or 'all'; body_bytes: of it, at most.
function M.configure(options)
  header_names = options.headers or {}
  body_policy = options.body or 'none'
  body_bytes_max = options.body_bytes or 4096
end

local function text_of(value, bytes_max)
  if #value > bytes_max then value = sub(value, 1, bytes_max) end
  return escape(value)
end

local function body_of(var)
  if body_policy == 'none' then return nil end
  if body_policy == 'errors' and (tonumber(var.status) or 0) < 400 then return nil end
  -- In memory only: a body that nginx put into a file is not read again for the log.
  local body = var.request_body
  return body and sub(body, 1, body_bytes_max)
end

local function tags_of(var)
  local given = ngx.ctx.forebay_tags
  local body = body_of(var)
  if type(given) ~= 'table' and not header_names[1] and not body then return nil end
  local tags = {}
  for name, value in pairs(type(given) == 'table' and given or {}) do
    tags[name] = value
  end
  if header_names[1] then
    local headers, all = {}, ngx.req.get_headers(0)
    for _, name in ipairs(header_names) do
      headers[name] = all[name]
    end
    if next(headers) then tags.headers = headers end
  end
  tags.body = body or tags.body
  if not next(tags) then return nil end
  local text = json.encode(tags)
  return #text <= TAGS_BYTES_MAX and text or '{"tooLarge":true}'
end

local function row(var, tags, bytes_max)
  for index = 1, COUNT do
    local value, kind = var[VARIABLES[index]], KINDS[index]
    if kind == 'text' then
      parts[2 * index] = value and text_of(value, bytes_max) or ''
    else
      parts[2 * index] = value or (kind == 'number' and 'null' or '')
    end
  end
  parts[2 * COUNT + 1] = tags and ',"tags":' .. tags .. '}\n' or '}\n'
  return concat(parts, '', 1, 2 * COUNT + 1)
end

-- In the log phase: JSON and a newline.
function M.of_request()
  local var = ngx.var
  local tags = tags_of(var)
  local text = row(var, tags, TEXT_BYTES_MAX)
  if #text <= ROW_BYTES_MAX then return text end
  return row(var, nil, TEXT_BYTES_SHORT)
end

return M

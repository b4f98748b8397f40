-- POSTs to a collector, over a unix socket or plain TCP.

local concat, lower, match, tonumber = table.concat, string.lower, string.match, tonumber

local M = {}

-- ms
local CONNECT_MS, SEND_MS, READ_MS = 2000, 5000, 10000
-- Idle connections, shorter than a collector keeps them (75 s). ms
local IDLE_MS, IDLE_MAX = 30000, 64
local HEADERS_MAX, ANSWER_BYTES_MAX = 100, 65536
local PIECE_BYTES = 65536

local function connect(address)
  local socket, fault = ngx.socket.tcp()
  if not socket then return nil, fault end
  socket:settimeouts(CONNECT_MS, SEND_MS, READ_MS)
  local host, port = match(address, '^(.+):(%d+)$')
  local ok
  if match(address, '^unix:') then
    ok, fault = socket:connect(address)
  else
    ok, fault = socket:connect(host, tonumber(port))
  end
  if not ok then return nil, fault end
  return socket
end

-- A body in memory, or what is left of an open file of `length` bytes.
local function send_body(socket, body)
  if type(body) == 'string' then return true end
  local left = body.length
  while left > 0 do
    local piece = body.file:read(math.min(left, PIECE_BYTES))
    if not piece then return nil, 'the body is shorter than it was' end
    left = left - #piece
    local ok, fault = socket:send(piece)
    if not ok then return nil, fault end
  end
  return true
end

local function read_answer(socket)
  local line, fault = socket:receive('*l')
  if not line then return nil, fault end
  local status = tonumber(match(line, '^HTTP/1%.[01] (%d%d%d)'))
  if not status then return nil, 'no answer of HTTP' end
  local headers = {}
  for _ = 1, HEADERS_MAX do
    line, fault = socket:receive('*l')
    if not line then return nil, fault end
    if line == '' then
      local length = tonumber(headers['content-length'])
      if not length or length > ANSWER_BYTES_MAX then return nil, 'an answer without a length, or too long' end
      local body = ''
      if length > 0 then
        body, fault = socket:receive(length)
        if not body then return nil, fault end
      end
      return { status = status, headers = headers, body = body }
    end
    local name, value = match(line, '^([^:]+):%s*(.-)%s*$')
    if name then headers[lower(name)] = value end
  end
  return nil, 'too many headers'
end

-- `lines` are headers, whole. Returns { status, headers, body }, or nil, what went wrong, and whether anything was sent: then nobody knows whether it was done.
function M.post(address, path, lines, body)
  local socket, fault = connect(address)
  if not socket then return nil, fault, false end
  local in_memory = type(body) == 'string'
  local head = concat({
    'POST ' .. path .. ' HTTP/1.1\r\nHost: forebay\r\nContent-Length: ',
    in_memory and #body or body.length,
    '\r\n',
    #lines > 0 and concat(lines, '\r\n') .. '\r\n' or '',
    '\r\n',
    in_memory and body or '',
  })
  local answer
  local ok
  ok, fault = socket:send(head)
  if ok then
    ok, fault = send_body(socket, body)
  end
  if ok then
    answer, fault = read_answer(socket)
  end
  if not answer then
    socket:close()
    return nil, fault, true
  end
  if lower(answer.headers.connection or '') == 'close' then
    socket:close()
  else
    socket:setkeepalive(IDLE_MS, IDLE_MAX)
  end
  return answer
end

return M

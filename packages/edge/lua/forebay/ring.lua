-- Rows of the edge log on their way from nginx to a collector: a ring in shared memory, and a timer that empties it.
--
-- Every worker process puts its rows in; whichever holds the lock sends them, so that there is one sequence for one start of
-- nginx (its epoch). A row leaves the ring when the collector has answered that it is on its disk. Whatever finds no room is
-- counted, and said to the collector with the next rows. The ring outlives a worker process and a reload, not nginx.

local ffi = require 'ffi'
local http = require 'forebay.http'
local row = require 'forebay.row'

local concat, format, gmatch, match = table.concat, string.format, string.gmatch, string.match
local tonumber = tonumber

local M = {}

local TICK_S = 0.2
-- Places; what a dictionary holds is usually less.
local ROWS_MAX = 65536
local BATCH_ROWS, BATCH_BYTES = 1000, 524288
-- Longer than one batch may take (see http.lua). A worker that died loses it at once.
local LOCK_S = 20
-- After a row found no room, this worker does not try again for so long.
local FULL_S = 0.1
-- A place that was taken and is still empty: its worker was killed in between.
local EMPTY_S = 2
-- Lost rows that no row follows are said by themselves.
local UNTOLD_S = 2
local RETRY_S, RETRY_MAX_S = 0.2, 5
local FLAG_MODULUS = 2147483647

local dict, collector, lines
local head_known, full_until = 1, 0
local retry_at, retry_s, is_away = 0, RETRY_S, false
local empty_at, empty_since, lost_since = 0, 0, 0

-- head: the next place to be sent. sent: bytes that the collector has. lost: rows that are to be said before it, and since
-- when (ms) that number is fixed; 0 while it may grow. over: how many of the counter `over` are in it already.
-- One string of one length, so that whoever is killed leaves the old one or the new.
local STATE = '%016.0f %016.0f %016.0f %016.0f %016.0f'

local function read_state()
  local numbers = {}
  for number in gmatch(dict:get('state'), '%d+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  return { head = numbers[1], sent = numbers[2], lost = numbers[3], fixed = numbers[4], over = numbers[5] }
end

local function write_state(state)
  dict:set('state', format(STATE, state.head, state.sent, state.lost, state.fixed, state.over))
end

local function slot_of(place)
  return 'r' .. place % ROWS_MAX
end

-- Nothing of it yields, so one request can't see another's half.
local function put(text)
  if ngx.now() < full_until then
    dict:incr('over', 1)
    return
  end
  local place = dict:incr('tail', 1)
  if place - head_known >= ROWS_MAX then head_known = read_state().head end
  if place - head_known < ROWS_MAX then
    if dict:safe_set(slot_of(place), text, 0, place % FLAG_MODULUS) then return end
  end
  dict:incr('holes', 1)
  full_until = ngx.now() + FULL_S
end

local function row_at(place)
  local text, flag = dict:get(slot_of(place))
  return flag == place % FLAG_MODULUS and text or nil
end

-- Whether the row of this place will never come.
local function is_lost(place)
  if (dict:get('holes') or 0) > 0 then
    dict:incr('holes', -1)
    return true
  end
  local now = ngx.now()
  if empty_at ~= place then
    empty_at, empty_since = place, now
  end
  return now - empty_since > EMPTY_S
end

-- What to send next, the same again until it is settled as far as `lost` goes; nil when there is nothing.
local function compose()
  local state, tail = read_state(), dict:get('tail')
  local head = state.head
  while state.head <= tail and not row_at(state.head) and is_lost(state.head) do
    state.head, state.lost = state.head + 1, state.lost + 1
  end
  local texts, bytes, place = {}, 0, state.head
  while place <= tail and #texts < BATCH_ROWS and bytes < BATCH_BYTES do
    local text = row_at(place)
    if not text then break end
    texts[#texts + 1], bytes, place = text, bytes + #text, place + 1
  end
  local over = dict:get('over')
  if state.fixed == 0 then
    state.lost, state.over = state.lost + over - state.over, over
    local now = ngx.now()
    if state.lost == 0 or lost_since == 0 then lost_since = now end
    if state.lost > 0 and (#texts > 0 or now - lost_since > UNTOLD_S) then state.fixed = now * 1000 end
  end
  if state.head ~= head or state.lost > 0 then write_state(state) end
  if #texts == 0 and state.fixed == 0 then return nil end
  return { state = state, text = concat(texts), rows = #texts, bytes = bytes }
end

local function send(batch)
  local state = batch.state
  lines[3] = format('Forebay-First: %.0f', state.sent)
  lines[4] = format('Forebay-Dropped: %.0f', state.lost)
  lines[5] = format('Forebay-Dropped-At: %.0f', state.fixed)
  local answer, fault = http.post(collector, '/v1/edge/logs', lines, batch.text)
  if not answer then return nil, fault end
  if answer.status ~= 202 then return nil, 'it answered ' .. answer.status .. ' ' .. answer.body:sub(1, 300) end
  return true
end

local function settle(batch)
  local state, first = batch.state, batch.state.head
  dict:incr('told', state.lost)
  write_state({
    head = first + batch.rows,
    sent = state.sent + batch.bytes,
    lost = 0,
    fixed = 0,
    over = state.over,
  })
  dict:incr('sent', batch.rows)
  for place = first, first + batch.rows - 1 do
    dict:delete(slot_of(place))
  end
end

-- Another part of this nginx may have said so already.
pcall(ffi.cdef, 'int kill(int pid, int signal);')

local function is_dead(pid)
  return ffi.C.kill(pid, 0) ~= 0
end

-- By pid.
local function take_lock(pid)
  if dict:safe_add('lock', pid, LOCK_S) then return true end
  local holder = dict:get('lock')
  if not holder or not is_dead(holder) then return false end
  dict:delete('lock')
  return dict:safe_add('lock', pid, LOCK_S)
end

local function holds_lock(pid)
  return dict:get('lock') == pid
end

local function drain(pid)
  while holds_lock(pid) do
    local batch = compose()
    if not batch then return true end
    local ok, fault = send(batch)
    if not ok then return nil, fault end
    -- Else another took over meanwhile; it sends the same, which is known by its place.
    if not holds_lock(pid) then return true end
    settle(batch)
    dict:replace('lock', pid, LOCK_S)
  end
  return true
end

local function note(ok, fault)
  if ok then
    if is_away then ngx.log(ngx.WARN, 'forebay: the collector takes rows again') end
    is_away, retry_s = false, RETRY_S
    return
  end
  if not is_away then
    ngx.log(ngx.ERR, 'forebay: rows wait in the ring, the collector at ', collector, ' does not take them: ', fault)
  end
  is_away, retry_at = true, ngx.now() + retry_s
  retry_s = math.min(2 * retry_s, RETRY_MAX_S)
end

-- `is_last`: nginx lets this worker go, so that it does not wait for a better time.
local function flush(is_last)
  if not is_last and ngx.now() < retry_at then return end
  local pid = ngx.worker.pid()
  if not take_lock(pid) then return end
  local ran, ok, fault = pcall(drain, pid)
  if holds_lock(pid) then dict:delete('lock') end
  if ran then note(ok, fault) else note(nil, ok) end
end

-- In the log phase of each request.
function M.log()
  put(row.of_request())
  -- Its ticks have ended; a timer without delay is still allowed.
  if ngx.worker.exiting() then ngx.timer.at(0, function() flush(true) end) end
end

local function hostname()
  local file = io.open('/proc/sys/kernel/hostname')
  local name = file and file:read('*l')
  if file then file:close() end
  return name and name ~= '' and name or 'nginx'
end

local function random_hex()
  local file = io.open('/dev/urandom', 'rb')
  local bytes = file and file:read(6) or tostring(math.random())
  if file then file:close() end
  return (bytes:gsub('.', function(one) return format('%02x', one:byte()) end))
end

local function read_key(path)
  local file, fault = io.open(path)
  if not file then error('forebay: the key of the collector cannot be read: ' .. fault) end
  local key = file:read('*l')
  file:close()
  return match(key or '', '^[%w%p]+$') or error('forebay: ' .. path .. ' holds no key')
end

-- In init_worker. collector: 'unix:/path' or 'IP:port'; name: what this nginx is called in rows' sources, default the
-- machine's name; key_file: an access key of the collector, in one line; headers, body, body_bytes: see row.lua.
function M.start(options)
  dict = ngx.shared.forebay_edge or error('forebay: there is no lua_shared_dict forebay_edge')
  collector = options.collector
  row.configure(options)
  -- Whoever of the workers is first says what it is for all.
  dict:safe_add('epoch', format('%x-%s', ngx.now() * 1000, random_hex()))
  for _, name in ipairs({ 'tail', 'over', 'holes', 'told', 'sent' }) do
    dict:safe_add(name, 0)
  end
  dict:safe_add('state', format(STATE, 1, 0, 0, 0, 0))
  local source = (options.name or hostname()):gsub('[^%w._-]', '_'):sub(1, 200) .. '/lua'
  lines = { 'Forebay-Source: ' .. source, 'Forebay-Epoch: ' .. dict:get('epoch'), '', '', '' }
  if options.key_file then lines[6] = 'Authorization: Bearer ' .. read_key(options.key_file) end
  local ok, fault = ngx.timer.every(TICK_S, flush)
  if not ok then error('forebay: no timer: ' .. tostring(fault)) end
end

-- For a location: Prometheus' text form.
function M.status()
  local state = read_state()
  ngx.header.content_type = 'text/plain; version=0.0.4'
  local untold = state.lost + dict:get('over') - state.over + dict:get('holes')
  ngx.print(
    format('# TYPE forebay_nginx_waiting_rows gauge\nforebay_nginx_waiting_rows %d\n', dict:get('tail') - state.head + 1),
    format('# TYPE forebay_nginx_sent_rows_total counter\nforebay_nginx_sent_rows_total %d\n', dict:get('sent')),
    format('# TYPE forebay_nginx_dropped_rows_total counter\nforebay_nginx_dropped_rows_total %d\n', dict:get('told') + untold)
  )
end

return M

-- JSON for rows, by hand: Debian's Lua for nginx comes without a library for it.

local byte, char, concat, find = string.byte, string.char, table.concat, string.find
local format, gsub, sub = string.format, string.gsub, string.sub

local M = {}

local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['\127'] = '\\u007f' }
for code = 0, 31 do
  ESCAPES[char(code)] = format('\\u%04x', code)
end

-- For bytes that are no UTF-8: a row with them would not be JSON.
local REPLACEMENT = '\239\191\189'

-- Lowest and highest second byte of a sequence, and its length, by its first byte.
local function shape(first)
  if first < 0xc2 or first > 0xf4 then return nil end
  if first < 0xe0 then return 0x80, 0xbf, 2 end
  if first < 0xf0 then return first == 0xe0 and 0xa0 or 0x80, first == 0xed and 0x9f or 0xbf, 3 end
  return first == 0xf0 and 0x90 or 0x80, first == 0xf4 and 0x8f or 0xbf, 4
end

-- Length of the character that begins at `at`; nil where none does.
local function character_length(text, at)
  local lowest, highest, length = shape(byte(text, at))
  if not lowest then return nil end
  local second = byte(text, at + 1)
  if not second or second < lowest or second > highest then return nil end
  for index = at + 2, at + length - 1 do
    local next_byte = byte(text, index)
    if not next_byte or next_byte < 0x80 or next_byte > 0xbf then return nil end
  end
  return length
end

local function only_utf8(text)
  local pieces, count, from = {}, 0, 1
  local at = find(text, '[\128-\255]')
  while at do
    local length = character_length(text, at)
    if not length then
      pieces[count + 1], pieces[count + 2] = sub(text, from, at - 1), REPLACEMENT
      count, from = count + 2, at + 1
    end
    at = find(text, '[\128-\255]', at + (length or 1))
  end
  if count == 0 then return text end
  pieces[count + 1] = sub(text, from)
  return concat(pieces)
end

-- What stands between the quotes.
function M.escape(text)
  if not find(text, '[%c"\\\127-\255]') then return text end
  if find(text, '[\128-\255]') then text = only_utf8(text) end
  return (gsub(text, '[%c"\\]', ESCAPES))
end

local escape = M.escape

-- A value that a team made: bounded, whatever it holds, also itself.
local DEPTH_MAX = 8
local VALUES_MAX = 1000

local function encode(value, depth, room)
  room.left = room.left - 1
  local kind = type(value)
  if kind == 'string' then return '"' .. escape(value) .. '"' end
  if kind == 'boolean' then return value and 'true' or 'false' end
  if kind == 'number' then
    if value ~= value or value == math.huge or value == -math.huge then return 'null' end
    return format('%.14g', value)
  end
  if kind ~= 'table' or depth == 0 then return 'null' end
  local members = {}
  if #value > 0 then
    for index = 1, #value do
      if room.left <= 0 then break end
      members[index] = encode(value[index], depth - 1, room)
    end
    return '[' .. concat(members, ',') .. ']'
  end
  for name, member in pairs(value) do
    if room.left <= 0 then break end
    members[#members + 1] = '"' .. escape(tostring(name)) .. '":' .. encode(member, depth - 1, room)
  end
  return '{' .. concat(members, ',') .. '}'
end

function M.encode(value)
  return encode(value, DEPTH_MAX, { left = VALUES_MAX })
end

return M

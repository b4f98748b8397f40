import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommandError } from '../src/exit-codes.ts'
import { type LuaFlags, readLua } from '../src/nginx/lua-flags.ts'

const NONE: LuaFlags = { luaLog: true, logHeader: [], produce: [], directKafka: [] }
const LUA: LuaFlags = { ...NONE, lua: '/etc/nginx/lua/' }
const NOWHERE = { edge: { http: { listen: null, unix: null } } }

const WRONG: readonly (readonly [flags: LuaFlags, says: RegExp])[] = [
  [{ ...NONE, logBody: 'all' }, /--log-body needs --lua/],
  [{ ...NONE, directKafka: ['a:1'] }, /--direct-kafka needs --lua/],
  [{ ...NONE, lua: 'lua' }, /no absolute path/],
  [{ ...NONE, lua: '/a"b' }, /cannot be written/],
  [{ ...NONE, lua: '/a;b' }, /cannot be a path of Lua/],
  [{ ...LUA, luaLog: false }, /leave nothing for Lua/],
  [{ ...LUA, collector: 'collector:5600' }, /--collector collector:5600 is no address/],
  [{ ...LUA, collector: 'unix:/a"b' }, /cannot be written/],
  [{ ...LUA, collectorKey: 'a$b' }, /cannot be written/],
  [{ ...LUA, logHeader: ['Cookie'] }, /would log keys/],
  [{ ...LUA, logHeader: ['a"b'] }, /is no header/],
  [{ ...LUA, logBody: 'some' }, /none of none, errors and all/],
  [{ ...LUA, logBodyMax: '1g' }, /is no size/],
  [{ ...LUA, luaBuffer: '1k' }, /is no size/],
  [{ ...LUA, produce: ['a/b'] }, /is no topic/],
  [{ ...LUA, produce: ['..'] }, /is no topic/],
  [{ ...LUA, directKafka: ['127.0.0.1:9092'] }, /produces nothing without --produce/],
  [{ ...LUA, produce: ['a'], directKafka: ['a"b:1'] }, /--direct-kafka .* is no address/],
]

test('flags that cannot be written into a configuration, or mean nothing, are refused', () => {
  for (const [flags, says] of WRONG) {
    assert.throws(
      () => readLua(flags, NOWHERE),
      (error) => error instanceof CommandError && says.test(error.message),
      String(says),
    )
  }
})

test('the collector is the one of the configuration, as nginx beside it reaches it, or the usual socket', () => {
  const at = (
    http: (typeof NOWHERE)['edge']['http'] | { listen: { host: string; port: number } | null; unix: string | null },
  ) => readLua(LUA, { edge: { http } })?.collector
  assert.equal(at({ listen: { host: '0.0.0.0', port: 5600 }, unix: null }), '127.0.0.1:5600')
  assert.equal(at({ listen: { host: '::1', port: 5600 }, unix: null }), '[::1]:5600')
  assert.equal(at({ listen: { host: '0.0.0.0', port: 5600 }, unix: '/run/edge.sock' }), 'unix:/run/edge.sock')
  assert.equal(at({ listen: null, unix: null }), 'unix:/run/forebay/edge.sock')
  assert.equal(readLua(NONE, NOWHERE), null)
})

test('what is not said is as the pages say', () => {
  const plan = readLua({ ...LUA, produce: ['orders'] }, NOWHERE)!
  assert.deepEqual(
    [plan.dir, plan.body, plan.bodyBytes, plan.bufferBytes],
    ['/etc/nginx/lua', 'none', 4_096, 33_554_432],
  )
  assert.equal(plan.produceBytesMax, 1_032_192)
  assert.equal(readLua({ ...LUA, produce: ['a'], directKafka: ['k:9092'] }, NOWHERE)!.produceBytesMax, 65_536)
})

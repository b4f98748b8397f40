import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ERRORS } from '@forebay/protocol'
import { optionsField, resolveOptions } from '@forebay/server/configuration'
import { parse } from 'yaml'

const page = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

test('docs/errors.md says of every code what the table of errors says, and of no other', () => {
  const rows = [...page('errors.md').matchAll(/^\| `(\w+)` \| (\d+) \| (\w+) \| (yes|no) \|/gm)]
  const documented = Object.fromEntries(
    rows.map(([, code, http, grpc, again]) => [code, { http: Number(http), grpc, retry: again === 'yes' }]),
  )
  assert.deepEqual(documented, { ...ERRORS })
})

test('docs/configuration.md has a row with the right default for every key of forebay.yaml', () => {
  const text = page('configuration.md')
  const rows = new Map(
    [...text.matchAll(/^\| `([\w.<>]+)` \| ([^|]*) \|/gm)].map(([, key, byDefault]) => [key, byDefault?.trim()]),
  )
  const wanted = [...keysOf(optionsField, '')]
  for (const [key, byDefault] of wanted) {
    assert.ok(rows.has(key), `${key} has no row`)
    if (byDefault !== undefined) assert.equal(rows.get(key), `\`${byDefault}\``, key)
  }
  assert.deepEqual(
    [...rows.keys()].filter((key) => !wanted.some(([known]) => known === key)),
    [],
    'rows of keys that do not exist',
  )
})

test('every piece of forebay.yaml in the pages is one that the server takes', () => {
  for (const name of ['configuration.md', 'queues.md']) {
    const pieces = [...page(name).matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!)
    assert.ok(pieces.length > 0, name)
    for (const piece of pieces) {
      const resolution = resolveOptions(parse(piece), { hostname: 'host', folderOf: () => '/' })
      assert.ok(resolution.ok, `${name}:\n${piece}${JSON.stringify(resolution)}`)
    }
  }
})

type AnyField = typeof optionsField | NonNullable<(typeof optionsField)['item']>

function* keysOf(field: AnyField, path: string): Generator<readonly [string, string | undefined]> {
  for (const [name, member] of Object.entries(field.members ?? {})) {
    const key = path === '' ? name : `${path}.${name}`
    const isGroup = member.members !== undefined || (member.item?.members !== undefined && name === 'queues')
    if (isGroup) yield* keysOf(member.item ?? member, name === 'queues' ? 'queues.<name>' : key)
    else yield [key, defaultOf((member.schema as { default?: unknown }).default)]
    if (!isGroup && member.item?.members !== undefined) {
      const isMap = (member.schema as { type?: unknown }).type !== 'array'
      yield* keysOf(member.item, isMap ? `${key}.<name>` : key)
    }
  }
}

function defaultOf(value: unknown): string | undefined {
  if (value === undefined) return undefined
  return Array.isArray(value) ? `[${value.join(', ')}]` : String(value)
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ERRORS } from '@forebay/protocol'
import { readTree } from '../read-tree.ts'
import { untidy } from '../tidy.ts'

const ERRORS_PAGE = Object.keys(ERRORS)
  .map((code) => `\`${code}\``)
  .join('\n')

function faultsOf(files: Readonly<Record<string, string>>): string[] {
  const names = Object.keys(files).join(' ')
  return untidy(new Map(Object.entries({ 'docs/errors.md': ERRORS_PAGE, 'package.json': names, ...files })))
}

/** What each file is blamed for; it would be tidy without that line. */
const CASES: readonly (readonly [path: string, text: string, says: RegExp])[] = [
  ['packages/server/src/a.ts', "import { x } from '@forebay/sdk/client'\n", /server must not import sdk/],
  ['packages/sdk/src/a.ts', "import { x } from '@forebay/server'\n", /sdk must not import server/],
  ['packages/protocol/src/a.ts', "export { x } from '@forebay/broker'\n", /protocol must not import broker/],
  ['packages/broker/src/a.ts', "const x = await import('forebay')\n", /broker must not import cli/],
  ['packages/broker/src/a.ts', "import '../../protocol/src/errors.ts'\n", /past its door/],
  ['packages/server/src/accept/index.ts', 'export const a = 1\n', /front door/],
  ['packages/server/src/a.ts', "export * from './b.ts'\n", /barrel/],
  ['packages/server/test/a.test.ts', "test.only('x', () => {})\n", /stray \.only/],
  ['packages/server/test/a.test.ts', "test('x', { skip: true }, () => {})\n", /without its reason/],
  ['packages/server/test/a.test.ts', "test.skip('x', () => {})\n", /without its reason/],
  ['packages/server/src/a.ts', `// ${'TO'}DO later\n`, /open ends/],
  ['packages/server/src/a.ts', "console.log('x')\n", /telemetry/],
  ['packages/server/src/a.ts', 'const t = Date.now()\n', /Clock and Random/],
  ['packages/server/src/a.ts', 'setTimeout(() => {}, 1)\n', /Clock and Random/],
  ['packages/server/src/a.ts', 'const e = process.env.HOME\n', /environment/],
  ['packages/sdk/src/a.ts', "process.on('SIGTERM', () => {})\n", /signals/],
  ['packages/server/src/a.ts', '\n'.repeat(451), /451 lines/],
]

for (const [path, text, says] of CASES) {
  test(`finds fault with ${JSON.stringify(text.slice(0, 50))} in ${path}`, () => {
    const faults = faultsOf({ [path]: text })
    assert.equal(faults.length, 1, faults.join('\n'))
    assert.match(faults[0]!, says)
  })
}

test('a clock, the CLI environment, type imports in a circle and words in comments are no faults', () => {
  const faults = faultsOf({
    'packages/broker/src/clock.ts': 'export const wallMs = () => Date.now()\n',
    'packages/cli/src/environment.ts': 'export const env = process.env\n',
    'packages/server/src/a.ts': "import type { B } from './b.ts'\n// Date.now() would not do here\n",
    'packages/server/src/b.ts': "import { a } from './a.ts'\n",
    'packages/server/src/gen/x.ts': 'console.log(1)\n',
  })
  assert.deepEqual(faults, [])
})

test('files that import each other at run time are a cycle', () => {
  const faults = faultsOf({
    'packages/server/src/a.ts': "import { b } from './b.ts'\n",
    'packages/server/src/b.ts': "import { c } from './c.ts'\n",
    'packages/server/src/c.ts': "export { a } from './a.ts'\n",
  })
  assert.match(faults.join('\n'), /a\.ts → .*b\.ts → .*c\.ts → .*a\.ts/)
})

test('a file that nobody imports or names is dead', () => {
  const faults = untidy(
    new Map([
      ['packages/server/src/lost.ts', 'export {}\n'],
      ['docs/errors.md', ERRORS_PAGE],
    ]),
  )
  assert.deepEqual(faults, ['packages/server/src/lost.ts:1 nothing imports it'])
})

test('an error code that the page leaves out is found', () => {
  const page = ERRORS_PAGE.replace('`OVERLOADED`', '')
  assert.deepEqual(untidy(new Map([['docs/errors.md', page]])), ['docs/errors.md:1 OVERLOADED is not documented'])
})

test('this repository is tidy', () => {
  assert.deepEqual(untidy(readTree(fileURLToPath(new URL('../../', import.meta.url)))), [])
})

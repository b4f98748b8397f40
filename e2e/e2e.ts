import { readdirSync } from 'node:fs'

/** `npm run e2e -- NAME… [--long]`: the large acceptance runs, each a folder beside this file; whole with `--long`. */
const known = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
const given = process.argv.slice(2)
const wanted = given.filter((name) => name !== '--long')
if (wanted.length < given.length) process.env.E2E_LONG = '1'
const unknown = wanted.filter((name) => !known.includes(name))
if (wanted.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) console.error(`There is no run called ${unknown.join(', ')}.`)
  console.error(`Which one? ${known.map((name) => `npm run e2e -- ${name}`).join('   ')}`)
  process.exit(2)
}
// For runs that are too large to be part of `npm test`.
process.env.E2E_NAMES = wanted.join(',')
process.argv.splice(2, given.length, ...wanted.map((name) => `e2e/${name}/`))
await import('../scripts/test.ts')

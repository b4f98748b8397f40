// npm test [-- NAME…]: everything, or only the test files whose path holds one of the names.
process.argv.splice(2, 0, 'scripts/test.ts')
await import('./run.mjs')

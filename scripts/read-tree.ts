import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Tree } from './tidy.ts'

/** Every text file of the working tree that git knows or would take. */
export function readTree(root: string): Tree {
  const list = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], { cwd: root, encoding: 'utf8' })
  const tree = new Map<string, string>()
  for (const path of list.split('\0')) {
    if (/\.(ts|mjs|json|md|sh|yaml|yml|proto)$/.test(path) && existsSync(`${root}${path}`)) {
      tree.set(path, readFileSync(`${root}${path}`, 'utf8'))
    }
  }
  return tree
}

/** A part of a configuration of nginx: each directive says why it is there. */
export type Directive = Line | Block | Lua

interface Line {
  readonly text: string
  readonly why: string
}

interface Block extends Line {
  readonly inside: readonly Directive[]
}

interface Lua extends Line {
  readonly code: readonly string[]
}

/** `text` without its semicolon. */
export function line(text: string, why: string): Line {
  return { text, why }
}

export function block(text: string, why: string, inside: readonly Directive[]): Block {
  return { text, why, inside }
}

/** A `…_by_lua_block`; what stands in it is Lua, with comments of its own. */
export function lua(text: string, why: string, code: readonly string[]): Directive {
  return { text, why, code }
}

export function written(directives: readonly Directive[], depth = 0): string {
  return directives.map((directive) => writtenOne(directive, depth)).join('')
}

function writtenOne(directive: Directive, depth: number): string {
  const indent = '    '.repeat(depth)
  if ('code' in directive) {
    const code = directive.code.map((one) => `${indent}    ${one}\n`).join('')
    return `${indent}# ${directive.why}\n${indent}${directive.text} {\n${code}${indent}}\n`
  }
  if (!('inside' in directive)) return commented(`${indent}${directive.text};`, directive.why, indent)
  const space = depth === 0 ? '\n' : ''
  return `${space}${indent}# ${directive.why}\n${indent}${directive.text} {\n${written(directive.inside, depth + 1)}${indent}}\n`
}

/** Beside a short directive, above a long one. */
function commented(text: string, why: string, indent: string): string {
  if (text.length >= COMMENT_COLUMN) return `${indent}# ${why}\n${text}\n`
  return `${text.padEnd(COMMENT_COLUMN)}# ${why}\n`
}

const COMMENT_COLUMN = 66

/** Whole seconds where it is some. */
export function duration(ms: number): string {
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`
}

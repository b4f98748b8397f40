import { readdirSync, readFileSync } from 'node:fs'

export interface LuaFile {
  /** 'ring.lua'; it belongs into a folder `forebay` that Lua finds. */
  readonly name: string
  readonly text: string
}

/** The collector's other half: what runs inside nginx, with Lua. `forebay nginx --lua` writes it where nginx reads it. */
export function luaFiles(): readonly LuaFile[] {
  return readdirSync(FOLDER)
    .sort()
    .map((name) => ({ name, text: readFileSync(new URL(name, FOLDER), 'utf8') }))
}

const FOLDER = new URL('../lua/forebay/', import.meta.url)

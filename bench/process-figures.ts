import { readFileSync } from 'node:fs'

/** CPU time that a process and its threads have used, user and system. ms */
export function cpuMs(pid: number): number {
  // After the command's name in brackets, which may hold anything: utime and stime are fields 14 and 15.
  const fields = read(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK
}

/** Memory that is in RAM now. */
export function residentBytes(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(read(pid, 'status')) ?? []
  return Number(kib) * 1024
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (cause) {
    throw new Error(`process ${pid}, which was to be measured, has ended`, { cause })
  }
}

/** Linux tells times to programs in hundredths of a second, on every architecture. */
const MS_PER_TICK = 10

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Clock, Random } from '@forebay/broker'
import type { Loss } from '../dropped.ts'
import type { Intake } from '../intake.ts'
import type { Address } from '../options.ts'
import { Absence } from './absence.ts'
import { GatheredLines } from './gathered-lines.ts'
import { kernelDrops } from './kernel-drops.ts'
import { Marks } from './marks.ts'
import { syslogMessage } from './message.ts'
import { NoteFile } from './note-file.ts'

export interface UdpDoorParts {
  readonly intake: Intake
  /** Of the note of what has been received. */
  readonly notePath: string
  readonly clock: Clock
  readonly random: Pick<Random, 'fill'>
  readonly onTrouble: (cause: unknown) => void
  /** What may be missing as no collector ran; it is told in a row too. */
  readonly onMissed: (loss: Loss) => void
}

/**
 * Datagrams. Nobody waits for an answer, so what finds no room is lost: the kernel counts what its buffer could not hold, we what
 * the spool could not, and a note says up to when everything has been kept, so that the next start can tell of the rest.
 */
export class UdpDoor {
  readonly port: number
  readonly #parts: UdpDoorParts
  readonly #socket: Socket
  readonly #note: NoteFile
  readonly #absence: Absence
  readonly #marks: Marks
  readonly #lines: GatheredLines
  readonly #ending = new AbortController()
  #watching: Promise<void> = Promise.resolve()
  #taking: Promise<void> = Promise.resolve()
  #dropsTold = 0
  #isTroubled = false

  private constructor(socket: Socket, note: NoteFile, absence: Absence, parts: UdpDoorParts) {
    const { intake, clock, random, onTrouble } = parts
    this.#parts = parts
    this.#socket = socket
    this.#note = note
    this.#absence = absence
    this.#marks = new Marks(socket, clock, random)
    this.port = socket.address().port
    this.#lines = new GatheredLines(clock, (lines, count) => {
      const taken = intake.take(lines, false).then(
        (kept) => {
          if (!kept) intake.lost('spool-full', count)
        },
        (thrown) => {
          intake.lost('spool-full', count)
          onTrouble(thrown)
        },
      )
      this.#taking = Promise.all([this.#taking, taken]).then(() => {})
    })
    socket.on('message', (datagram, from) => {
      if (this.#marks.take(datagram, from)) return
      this.#absence.heard(from.address, from.port)
      this.#lines.push(syslogMessage(datagram))
    })
    socket.on('error', onTrouble)
  }

  static async open({ host, port }: Address, parts: UdpDoorParts): Promise<UdpDoor> {
    const { file, found } = await NoteFile.open(parts.notePath)
    const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: SOCKET_BYTES })
    try {
      socket.bind(port, host)
      await once(socket, 'listening')
      const run = { ...parts.intake.position, boundMs: parts.clock.wallMs() }
      const door = new UdpDoor(socket, file, new Absence(found, run, parts.clock), parts)
      await door.#noteAndTell().catch((thrown) => door.#trouble(thrown))
      door.#watching = door.#watch()
      return door
    } catch (thrown) {
      socket.close()
      await file.close()
      throw thrown
    }
  }

  /** What has been received is kept, and noted. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#watching
    await this.#beat()
    const closed = once(this.#socket, 'close')
    this.#socket.close()
    await closed
    this.#lines.flush()
    await this.#taking
    await this.#parts.intake.tell().catch(() => {})
    await this.#note.close()
  }

  async #watch(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      await this.#beat()
      await this.#parts.clock.sleep(BEAT_MS, this.#ending.signal).catch(() => {})
    }
  }

  async #beat(): Promise<void> {
    try {
      // Taken before anything that follows: a process that is killed must never have claimed too much.
      const sentBeforeMs = this.#parts.clock.wallMs()
      const hasCome = await this.#marks.pass()
      await this.#tellDrops()
      this.#lines.flush()
      await this.#taking
      if ((await this.#parts.intake.settle()) && hasCome) this.#absence.received(sentBeforeMs)
      await this.#noteAndTell()
      this.#isTroubled = false
    } catch (thrown) {
      this.#trouble(thrown)
    }
  }

  /** First the note, then the rows: killed before it is noted that they were told, the next start tells the same rows. */
  async #noteAndTell(): Promise<void> {
    const { intake, onMissed } = this.#parts
    await this.#writeNote()
    const { untold } = this.#absence
    if (untold.length === 0 || !(await intake.tellThat(untold))) return
    this.#absence.told()
    for (const loss of untold) onMissed(loss)
    await this.#writeNote()
  }

  #writeNote(): Promise<void> {
    return this.#note.write(this.#absence.note(this.#parts.intake.position.first))
  }

  async #tellDrops(): Promise<void> {
    const drops = await kernelDrops(this.port)
    if (drops === null || drops <= this.#dropsTold) return
    // One of them may be a mark: rather a line too many.
    this.#parts.intake.lost('socket', drops - this.#dropsTold)
    this.#dropsTold = drops
  }

  /** Said once until it is over. */
  #trouble(cause: unknown): void {
    if (!this.#isTroubled) this.#parts.onTrouble(cause)
    this.#isTroubled = true
  }
}

/** Asked for; the kernel gives what net.core.rmem_max allows. */
const SOCKET_BYTES = 8 * 1024 * 1024
/** Between two notes: what came since the last is said to be perhaps lost when the process is killed. */
const BEAT_MS = 500

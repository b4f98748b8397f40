import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { type Answer, decode, encode, type Packet } from 'dns-packet'

export interface DnsServer {
  /** '127.0.0.1:port' */
  readonly address: string
  /** Addresses by name, from now on; a name that is not there is NXDOMAIN, 'silent' gets no answer at all. */
  readonly names: Map<string, readonly string[] | 'silent'>
  /** Names that were asked for, once for each family. */
  readonly asked: string[]
}

/** A DNS server of the test's own, on UDP. */
export async function startDns(t: TestContext): Promise<DnsServer> {
  const socket = createSocket('udp4')
  const names: DnsServer['names'] = new Map()
  const asked: string[] = []
  socket.on('message', (message, { port, address }) => {
    const { id, questions } = decode(message)
    const [question] = questions ?? []
    const name = question!.name.toLowerCase()
    asked.push(name)
    const known = names.get(name)
    if (known === 'silent') return
    const { type } = question!
    const answers = (known ?? [])
      .filter((one) => (type === 'AAAA') === one.includes(':'))
      .map((data): Answer => ({ type: type as 'A', name: question!.name, ttl: 0, data }))
    const reply: Packet = {
      type: 'response',
      ...(id === undefined ? {} : { id }),
      flags: known === undefined ? NXDOMAIN : 0,
      questions: questions ?? [],
      answers,
    }
    socket.send(encode(reply), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  return { address: `127.0.0.1:${socket.address().port}`, names, asked }
}

const NXDOMAIN = 3

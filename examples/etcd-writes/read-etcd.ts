/**
 * Everything etcd holds, by key, asked of etcd itself: over its own HTTP gateway, so that neither Forebay nor the
 * descriptor file we built has a hand in it.
 */
export async function readEtcd(address: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  // One zero byte is etcd's way to say "from the first key" and "to the last".
  let from: Buffer = Buffer.from([0])
  for (;;) {
    const answer = await fetch(`http://${address}/v3/kv/range`, {
      method: 'POST',
      body: JSON.stringify({ key: from.toString('base64'), range_end: 'AA==', limit: PAGE_KEYS }),
    })
    if (!answer.ok) throw new Error(`etcd answered ${answer.status}: ${await answer.text()}`)
    const { kvs = [], more = false } = (await answer.json()) as EtcdRange
    for (const { key, value = '' } of kvs) found.set(fromBase64(key), fromBase64(value))
    const last = kvs.at(-1)
    if (!more || last === undefined) return found
    from = Buffer.concat([Buffer.from(last.key, 'base64'), Buffer.from([0])])
  }
}

export const toBase64 = (text: string) => Buffer.from(text).toString('base64')
export const fromBase64 = (text: string) => Buffer.from(text, 'base64').toString()

/** etcdserverpb.RangeResponse as JSON, as far as we look at it. Empty fields are left out. */
export interface EtcdRange {
  readonly kvs?: readonly { readonly key: string; readonly value?: string }[]
  readonly more?: boolean
}

const PAGE_KEYS = 2_000

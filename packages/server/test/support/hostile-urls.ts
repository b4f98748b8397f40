/** URLs that a callback must never be sent to, and what its refusal says. */
export interface HostileUrl {
  readonly url: string
  readonly says: RegExp
  /** Wrong only by its port. */
  readonly aboutPort?: boolean
}

const ADDRESS = /not a public address/
const MACHINE = /within one machine or network/
const ENDING = /where nothing is public/
const SCHEME = /use https:/
const CHARACTERS = /spaces, control characters or letters beyond ASCII/
const LOGIN = /user or a password/
const NO_URL = /is no URL/

export const HOSTILE_URLS: readonly HostileUrl[] = [
  // This machine, however it is written.
  { url: 'https://127.0.0.1/', says: ADDRESS },
  { url: 'https://127.1/', says: ADDRESS },
  { url: 'https://0x7f.1/', says: ADDRESS },
  { url: 'https://0x7f000001/', says: ADDRESS },
  { url: 'https://2130706433/', says: ADDRESS },
  { url: 'https://017700000001/', says: ADDRESS },
  { url: 'https://0177.0.0.1/', says: ADDRESS },
  { url: 'https://127.0.0.1./', says: ADDRESS },
  { url: 'https://%31%32%37.0.0.1/', says: ADDRESS },
  { url: 'https://0.0.0.0/', says: ADDRESS },
  { url: 'https://0/', says: ADDRESS },
  { url: 'https://localhost/', says: MACHINE },
  { url: 'https://LOCALHOST/', says: MACHINE },
  { url: 'https://localhost./', says: /dot at the end/ },
  { url: 'https://a.localhost/', says: ENDING },
  { url: 'https://localhost.localdomain/', says: ENDING },
  { url: 'https://１２７.0.0.1/', says: CHARACTERS },
  { url: 'https://127。0。0。1/', says: CHARACTERS },
  { url: 'https://ⓛocalhost/', says: CHARACTERS },
  // The same in IPv6, and IPv4 inside of it.
  { url: 'https://[::1]/', says: ADDRESS },
  { url: 'https://[::]/', says: ADDRESS },
  { url: 'https://[0:0:0:0:0:0:0:1]/', says: ADDRESS },
  { url: 'https://[::ffff:127.0.0.1]/', says: ADDRESS },
  { url: 'https://[::ffff:7f00:1]/', says: ADDRESS },
  { url: 'https://[::127.0.0.1]/', says: ADDRESS },
  { url: 'https://[64:ff9b::7f00:1]/', says: ADDRESS },
  { url: 'https://[64:ff9b:1::7f00:1]/', says: ADDRESS },
  { url: 'https://[2002:7f00:1::]/', says: ADDRESS },
  { url: 'https://[2001:0:7f00:1::]/', says: ADDRESS },
  { url: 'https://[fe80::1%25eth0]/', says: NO_URL },
  { url: 'https://[fe80::1]/', says: ADDRESS },
  { url: 'https://[fd00::1]/', says: ADDRESS },
  { url: 'https://[fc00:ec2::254]/', says: ADDRESS },
  { url: 'https://[fd00:ec2::254]/', says: ADDRESS },
  { url: 'https://[ff02::1]/', says: ADDRESS },
  { url: 'https://[2001:db8::1]/', says: ADDRESS },
  // Private networks, carriers', link-local, metadata.
  { url: 'https://10.0.0.1/', says: ADDRESS },
  { url: 'https://172.16.0.1/', says: ADDRESS },
  { url: 'https://172.31.255.255/', says: ADDRESS },
  { url: 'https://192.168.1.1/', says: ADDRESS },
  { url: 'https://100.64.0.1/', says: ADDRESS },
  { url: 'https://100.100.100.200/', says: ADDRESS },
  { url: 'https://169.254.169.254/latest/meta-data/', says: ADDRESS },
  { url: 'https://0xa9fea9fe/', says: ADDRESS },
  { url: 'https://168.63.129.16/', says: ADDRESS },
  { url: 'https://192.0.0.192/', says: ADDRESS },
  { url: 'https://198.18.0.1/', says: ADDRESS },
  { url: 'https://224.0.0.1/', says: ADDRESS },
  { url: 'https://255.255.255.255/', says: ADDRESS },
  { url: 'https://metadata.google.internal/', says: ENDING },
  { url: 'https://vault.internal/', says: ENDING },
  { url: 'https://kubernetes.default.svc.cluster.local/', says: ENDING },
  { url: 'https://printer.lan/', says: ENDING },
  { url: 'https://router.home.arpa/', says: ENDING },
  { url: 'https://kubernetes/', says: MACHINE },
  { url: 'https://intranet/', says: MACHINE },
  // Other schemes, other ports, credentials.
  { url: 'http://hooks.example.com/', says: SCHEME },
  { url: 'ftp://hooks.example.com/', says: SCHEME },
  { url: 'file:///etc/passwd', says: SCHEME },
  { url: 'gopher://hooks.example.com/_x', says: SCHEME },
  { url: 'data:text/plain,x', says: SCHEME },
  { url: 'unix:/var/run/docker.sock', says: SCHEME },
  { url: 'javascript:alert(1)', says: SCHEME },
  { url: 'https://hooks.example.com:22/', says: /port 22/, aboutPort: true },
  { url: 'https://hooks.example.com:25/', says: /port 25/, aboutPort: true },
  { url: 'https://hooks.example.com:6379/', says: /port 6379/, aboutPort: true },
  { url: 'https://hooks.example.com:9092/', says: /port 9092/, aboutPort: true },
  { url: 'https://good.com@127.0.0.1/', says: LOGIN },
  { url: 'https://user:secret@hooks.example.com/', says: LOGIN },
  { url: 'https://@hooks.example.com/', says: LOGIN },
  { url: 'https:\\\\good.com@127.0.0.1/', says: /backslash/ },
  { url: 'https://good.com\\@127.0.0.1/', says: /backslash/ },
  // What a parser would swallow.
  { url: 'ht\ntps://hooks.example.com/', says: CHARACTERS },
  { url: 'https://hooks.exa\tmple.com/', says: CHARACTERS },
  { url: 'https://hooks.example.com/\r\nHost: inside', says: CHARACTERS },
  { url: 'https://127.0.0.1\0.example.com/', says: CHARACTERS },
  { url: ' https://hooks.example.com/', says: CHARACTERS },
  { url: 'https://раypal.com/', says: CHARACTERS },
  { url: `https://${'a.'.repeat(200)}com/`, says: /not a name of the Internet/ },
  { url: `https://${'a'.repeat(64)}.com/`, says: /not a name of the Internet/ },
  { url: `https://hooks.example.com/${'a'.repeat(2_048)}`, says: /longer than 2048/ },
  { url: `https://${'a.'.repeat(10_000)}com/`, says: /longer than 2048/ },
  { url: '', says: NO_URL },
  { url: 'hooks.example.com', says: NO_URL },
  { url: '//hooks.example.com/', says: NO_URL },
  { url: 'https://', says: NO_URL },
  { url: 'https://[::1', says: NO_URL },
  { url: 'https://1.2.3.4.5/', says: NO_URL },
  { url: 'https://exa%00mple.com/', says: NO_URL },
]

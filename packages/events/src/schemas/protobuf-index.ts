import protobuf from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor.js'

/** Where the message stands in its file: its index among the messages there, then among those within it, and so on. */
export function indexOfMessage(text: string, message: string): readonly number[] {
  const { messages } = fileOf(text)
  const index: number[] = []
  let among = messages
  let found: MessageTree | undefined
  while (found?.name !== message) {
    const at = among.findIndex(({ name }) => message === name || message.startsWith(`${name}.`))
    // It is one of an imported file.
    if (at < 0) return [0]
    found = among[at]!
    among = found.messages
    index.push(at)
  }
  return index
}

/** Whether a writer's index names the message. Throws where the writer's text is no Protobuf. */
export function isMessageAt(text: string, index: readonly number[], message: string): boolean {
  let among = fileOf(text).messages
  let found: MessageTree | undefined
  let counted = true
  for (const at of index) {
    // Some writers count the entries of maps as messages, as compiled descriptors do, and some do not.
    if (found?.hasMaps) counted = false
    found = among[at]
    among = found?.messages ?? []
  }
  return counted ? found?.name === message : true
}

interface MessageTree {
  readonly name: string
  readonly messages: readonly MessageTree[]
  readonly hasMaps: boolean
}

/** Registries hand out the text of a file, or its compiled descriptor in base64, as Python's client writes it. */
function fileOf(text: string): { readonly messages: readonly MessageTree[] } {
  if (BASE64.test(text)) return { messages: treesOfDescriptor(Buffer.from(text, 'base64')) }
  const root = new protobuf.Root()
  const { package: named } = protobuf.parse(text, root)
  const top = named === undefined ? root : root.lookup(named)
  return { messages: treesIn(top as protobuf.NamespaceBase) }
}

function treesIn(space: protobuf.NamespaceBase): MessageTree[] {
  return space.nestedArray
    .filter((one) => one instanceof protobuf.Type)
    .map((type) => ({
      name: type.fullName.slice(1),
      messages: treesIn(type),
      hasMaps: type.fieldsArray.some(({ map }) => map),
    }))
}

function treesOfDescriptor(bytes: Buffer): MessageTree[] {
  const file = descriptor.FileDescriptorProto.decode(bytes)
  const trees = (messages: readonly DescriptorMessage[], above: string): MessageTree[] =>
    messages.map(({ name, nestedType }) => {
      const fullName = `${above}${name}`
      // Its own numbers count the entries of maps, and so does whoever wrote by it.
      return { name: fullName, messages: trees(nestedType, `${fullName}.`), hasMaps: false }
    })
  const { package: named } = file
  return trees(file.messageType, named === '' ? '' : `${named}.`)
}

interface DescriptorMessage {
  readonly name: string
  readonly nestedType: readonly DescriptorMessage[]
}

const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/

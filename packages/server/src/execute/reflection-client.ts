import { fromBinary } from '@bufbuild/protobuf'
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type Client, type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js'
import { decodeAnswer, encodeQuestion, type ReflectionAnswer, type ReflectionQuestion } from './reflection-messages.ts'

export type ReflectionReport =
  /** The file that declares the service, and all that it imports, directly or not. */
  | { readonly kind: 'found'; readonly files: readonly FileDescriptorProto[] }
  /** It answers, but has no such service; these it has. */
  | { readonly kind: 'no-such-service'; readonly services: readonly string[] }
  | { readonly kind: 'no-reflection' }
  | { readonly kind: 'failed'; readonly message: string }

/** Asks a server for the descriptors of a service, by reflection v1 or, where that is missing, v1alpha. Never rejects. */
export async function reflectService(client: Client, service: string, deadlineMs: number): Promise<ReflectionReport> {
  for (const version of ['v1', 'v1alpha']) {
    const conversation = new Conversation(client, version, deadlineMs)
    try {
      return await ask(conversation, service)
    } catch (error) {
      if (!isUnimplemented(error)) {
        return { kind: 'failed', message: reasonOf(error) }
      }
    } finally {
      conversation.close()
    }
  }
  return { kind: 'no-reflection' }
}

async function ask(conversation: Conversation, service: string): Promise<ReflectionReport> {
  const first = await conversation.ask({ ask: 'file-of-symbol', symbol: service })
  if (first.kind === 'error' && first.status === status.NOT_FOUND) {
    const list = await conversation.ask({ ask: 'services' })
    return { kind: 'no-such-service', services: list.kind === 'services' ? list.names : [] }
  }
  const files = new Map<string, FileDescriptorProto>()
  take(files, first)
  for (let missing = missingImport(files); missing !== null; missing = missingImport(files)) {
    if (files.size >= FILES_MAX) throw new Error(`the service's descriptors are more than ${FILES_MAX} files`)
    take(files, await conversation.ask({ ask: 'file-by-name', name: missing }))
    if (!files.has(missing)) throw new Error(`the server has no descriptor of '${missing}', which it imports`)
  }
  return { kind: 'found', files: [...files.values()] }
}

function take(files: Map<string, FileDescriptorProto>, answer: ReflectionAnswer): void {
  if (answer.kind === 'error') throw new Error(`the server's reflection failed: ${answer.message}`)
  if (answer.kind !== 'files') throw new Error("the server's reflection answered something else than it was asked")
  for (const bytes of answer.files) {
    const file = fromBinary(FileDescriptorProtoSchema, bytes)
    files.set(file.name, file)
  }
}

function missingImport(files: ReadonlyMap<string, FileDescriptorProto>): string | null {
  for (const file of files.values()) {
    for (const dependency of file.dependency) if (!files.has(dependency)) return dependency
  }
  return null
}

/** One reflection stream: a question, its answer, the next. */
class Conversation {
  readonly #call: ClientDuplexStream<Buffer, Buffer>
  #waiting: { resolve(answer: ReflectionAnswer): void; reject(error: Error): void } | null = null
  #ended: Error | null = null

  constructor(client: Client, version: string, deadlineMs: number) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
    this.#call = client.makeBidiStreamRequest(path, pass, pass, { deadline: deadlineMs })
    this.#call.on('data', (bytes: Buffer) => this.#answered(bytes))
    this.#call.on('error', (error: ServiceError) => this.#fail(error))
    this.#call.on('status', () => this.#fail(new Error("the server ended its reflection's stream")))
  }

  ask(question: ReflectionQuestion): Promise<ReflectionAnswer> {
    if (this.#ended !== null) return Promise.reject(this.#ended)
    this.#call.write(encodeQuestion(question))
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  close(): void {
    this.#ended ??= new Error('closed')
    this.#call.cancel()
  }

  #answered(bytes: Buffer): void {
    const waiting = this.#waiting
    this.#waiting = null
    try {
      waiting?.resolve(decodeAnswer(bytes))
    } catch {
      waiting?.reject(new Error("the server's reflection sent bytes that are no answer"))
    }
  }

  #fail(error: Error): void {
    this.#ended ??= error
    this.#waiting?.reject(error)
    this.#waiting = null
  }
}

function isUnimplemented(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === status.UNIMPLEMENTED
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'details' in error ? String(error.details) : error.message
}

function pass(bytes: Buffer): Buffer {
  return bytes
}

/** Files that a service may be spread over. */
const FILES_MAX = 1000

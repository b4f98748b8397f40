import { readFileSync } from 'node:fs'
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt'
import type { Clock } from '@forebay/broker'
import { ForebayError, toForebayError } from '@forebay/protocol'
import type { Client } from '@grpc/grpc-js'
import {
  findMethod,
  type MethodDescriptor,
  meant,
  methodOfDescriptorSet,
  requireOneRequest,
} from './method-descriptor.ts'
import { reflectService } from './reflection-client.ts'
import { isUnreachable } from './unreachable.ts'

export interface MethodSource {
  /**
   * Rejects with CONFIG_INVALID where only an operator can help, with TARGET_UNAVAILABLE while the server cannot be
   * asked or does not have the method (it may start, or be deployed, later); with the member `unreachable` when the
   * address that was asked, perhaps not by this call, could not even be connected to.
   */
  find(client: Client): Promise<MethodDescriptor>
  /** What was found may be out of date: look again. */
  forget(): void
}

/** @throws ForebayError CONFIG_INVALID at once when the file is not usable. */
export function methodFromFile(file: string, service: string, method: string): MethodSource {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ForebayError('CONFIG_INVALID', `descriptors: '${file}' cannot be read: ${reason}`, { cause })
  }
  const found = Promise.resolve(methodOfDescriptorSet(bytes, file, service, method))
  return { find: () => found, forget() {} }
}

/** Asks the server itself, once for all; after a failure it is asked again at the earliest `ASK_AGAIN_MS` later. */
export function methodByReflection(address: string, service: string, method: string, clock: Clock): MethodSource {
  let found: Promise<MethodDescriptor> | null = null
  let askedMs = -Infinity
  let failed = false
  return {
    find(client) {
      if (found !== null && (!failed || clock.monotonicMs() - askedMs < ASK_AGAIN_MS)) return found
      askedMs = clock.monotonicMs()
      failed = false
      const asked = reflect(client, address, service, method, clock.wallMs() + ASK_TIMEOUT_MS)
      found = asked
      asked.catch((error: Partial<ForebayError>) => {
        failed = true
        // Another address of the name may be there to ask.
        if (error.members?.unreachable === true && found === asked) found = null
      })
      return asked
    },
    forget() {
      if (clock.monotonicMs() - askedMs >= ASK_AGAIN_MS) found = null
    },
  }
}

async function reflect(
  client: Client,
  address: string,
  service: string,
  method: string,
  deadlineMs: number,
): Promise<MethodDescriptor> {
  const report = await reflectService(client, service, deadlineMs)
  switch (report.kind) {
    case 'found':
      return findReflected(report.files, address, service, method)
    case 'no-such-service': {
      const message = `The server at ${address} has no service '${service}'${meant(service, report.services)}`
      throw new ForebayError('TARGET_UNAVAILABLE', message)
    }
    case 'no-reflection': {
      const fix = 'name a descriptor file (descriptors: FILE), or send application/protobuf'
      throw new ForebayError('CONFIG_INVALID', `The server at ${address} offers no reflection; ${fix}.`)
    }
    case 'failed': {
      const message = `The server at ${address} could not be asked for '${service}': ${report.message}`
      throw new ForebayError('TARGET_UNAVAILABLE', message, { members: { unreachable: isUnreachable(client) } })
    }
  }
}

function findReflected(
  files: readonly FileDescriptorProto[],
  address: string,
  service: string,
  method: string,
): MethodDescriptor {
  const source = `The server at ${address}`
  let found: MethodDescriptor
  try {
    found = findMethod(files, source, service, method)
  } catch (thrown) {
    // A method that is missing today may come with the server's next version; one that takes a stream stays what it is.
    const error = toForebayError(thrown)
    throw new ForebayError('TARGET_UNAVAILABLE', error.message, { cause: error })
  }
  return requireOneRequest(found, source)
}

/** How long a failure to find the method is remembered, so that a burst of attempts asks once. */
const ASK_AGAIN_MS = 1000

const ASK_TIMEOUT_MS = 5000

import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { systemClock } from '@forebay/broker'
import type { KafkaSurvey, SurveyedTopic } from '@forebay/broker/kafka'
import type { ServerOptions } from '@forebay/server'
import { type Finding, found } from './finding.ts'
import { type Address, messageOf, type Reached, reach } from './reach.ts'

type KafkaOptions = Extract<ServerOptions['broker'], { kind: 'kafka' }>

/**
 * The way to Kafka step by step: name, port, TLS, credentials, where the brokers tell clients to go, topics, permissions.
 * Nothing is written.
 */
export async function checkKafka(options: ServerOptions, broker: KafkaOptions): Promise<readonly Finding[]> {
  const tls = readTls(broker)
  if ('finding' in tls) return [tls.finding]
  const bootstrap = broker.bootstrap.map(addressOf)
  const findings: Finding[] = []
  for (const address of bootstrap) {
    findings.push(...reachFindings('kafka address', address, await reach(address, tls.options), 'broker'))
  }
  if (findings.every(({ state }) => state === 'fail')) return findings
  const { surveyKafka } = await import('@forebay/broker/kafka')
  const topics = [options.edge.topic, options.edge.logsTopic, ...options.edge.produce]
  const surveys = await surveyKafka(
    {
      bootstrap: broker.bootstrap,
      clientId: `forebay-${options.instance}`,
      ...(tls.options === null ? {} : { tls: tls.options }),
      ...(broker.sasl === null ? {} : { sasl: broker.sasl }),
    },
    [...new Set(topics)],
  )
  for (const survey of surveys) findings.push(answerFinding(survey, broker))
  const answered = surveys.find((survey) => survey.kind === 'answered')
  if (answered?.kind !== 'answered') return findings
  for (const node of answered.nodes) findings.push(await advertisedFinding(node, answered, tls.options))
  for (const topic of answered.topics) findings.push(topicFinding(topic))
  return findings
}

function readTls({
  tls,
}: KafkaOptions): { readonly options: ConnectionOptions | null } | { readonly finding: Finding } {
  if (tls === null) return { options: null }
  const options: Record<string, unknown> = {}
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = tls[name]
    if (file === undefined) continue
    try {
      options[name] = readFileSync(file)
    } catch (error) {
      return { finding: found('kafka tls files', 'fail', file, messageOf(error), `Correct kafka.tls.${name}.`) }
    }
  }
  if (tls.rejectUnauthorized !== undefined) options.rejectUnauthorized = tls.rejectUnauthorized
  return { options }
}

function reachFindings(check: string, { host, port }: Address, reached: Reached, key: string): Finding[] {
  const tried = `${host}:${port}`
  switch (reached.kind) {
    case 'unresolved':
      return [
        found(
          check,
          'fail',
          tried,
          `the name does not resolve (${reached.why})`,
          `Correct ${key}, or the name in DNS or /etc/hosts.`,
        ),
      ]
    case 'unreachable':
      return [
        found(
          check,
          'fail',
          tried,
          `nobody takes a connection (${reached.why})`,
          'Is it running, on this port? Does a firewall stand between?',
        ),
      ]
    case 'untrusted':
      return [
        found(
          check,
          'fail',
          tried,
          `TLS fails (${reached.why})`,
          'kafka.tls.ca must hold the certificate that vouches for the broker, and that must name this host; or this port speaks no TLS.',
        ),
      ]
    case 'reached': {
      const { certificate, ms, at } = reached
      const line = found(check, 'ok', tried, `connected to ${at} in ${ms.toFixed(1)} ms`)
      return certificate === null ? [line] : [line, certificateFinding(tried, certificate.validToMs)]
    }
  }
}

function certificateFinding(tried: string, validToMs: number): Finding {
  const days = Math.floor((validToMs - systemClock.wallMs()) / DAY_MS)
  const until = new Date(validToMs).toISOString().slice(0, 10)
  if (days >= CERTIFICATE_DAYS_LEAST) return found('kafka certificate', 'ok', tried, `trusted, valid until ${until}`)
  return found('kafka certificate', 'warn', tried, `ends in ${days} days, on ${until}`, 'Renew it.')
}

function answerFinding(survey: KafkaSurvey, { sasl }: KafkaOptions): Finding {
  const tried = `${survey.address.host}:${survey.address.port}`
  const as = sasl === null ? 'without credentials' : `as ${sasl.username} by ${sasl.mechanism}`
  if (survey.kind === 'answered') return found('kafka answer', 'ok', tried, `answers ${as}`)
  if (survey.isRefusal) {
    return found(
      'kafka answer',
      'fail',
      tried,
      `refuses us ${as} (${survey.why})`,
      'Correct kafka.sasl, or make that user in Kafka.',
    )
  }
  return found(
    'kafka answer',
    'fail',
    tried,
    `takes connections and does not answer ${as} (${survey.why})`,
    'Does this listener ask for TLS or SASL that kafka.tls and kafka.sasl do not give, or the other way round?',
  )
}

/** The classic trap: the bootstrap address answers, and sends clients to names that only the brokers know. */
async function advertisedFinding(
  node: Address & { readonly id: number },
  { address }: Extract<KafkaSurvey, { kind: 'answered' }>,
  tls: ConnectionOptions | null,
): Promise<Finding> {
  const reached = await reach(node, tls)
  const tried = `${node.host}:${node.port}`
  if (reached.kind === 'reached') {
    return found(
      'kafka advertised',
      'ok',
      tried,
      `node ${node.id} is where its cluster says, ${reached.ms.toFixed(1)} ms away`,
    )
  }
  const trouble = reached.kind === 'unresolved' ? 'which does not resolve here' : 'which cannot be reached from here'
  return found(
    'kafka advertised',
    'fail',
    tried,
    `${address.host}:${address.port} answers, but tells clients that node ${node.id} is at ${tried}, ${trouble} (${reached.why})`,
    `Set advertised.listeners of node ${node.id} to an address that this machine can reach,`,
    `or use the listener that is meant for this network as broker, or make ${node.host} known here.`,
  )
}

function topicFinding({ name, state, partitions, leaderless, mayWrite }: SurveyedTopic): Finding {
  switch (state) {
    case 'missing':
      return found(
        'kafka topic',
        'warn',
        name,
        'is not there',
        'A collector makes it when it starts, if it may: forebay up --roles collector',
      )
    case 'forbidden':
      return found(
        'kafka topic',
        'fail',
        name,
        'we may not even see it',
        'Allow this user DESCRIBE and WRITE on it, and READ for the log store.',
      )
    case 'unclear':
      return found(
        'kafka topic',
        'warn',
        name,
        'the cluster has no answer about it now',
        'Ask again; then see the log of the brokers.',
      )
    case 'there':
      if (mayWrite === false) {
        return found(
          'kafka topic',
          'fail',
          name,
          'we may not write to it',
          'Allow this user WRITE on it: kafka-acls --add --operation Write.',
        )
      }
      if (leaderless > 0) {
        return found(
          'kafka topic',
          'fail',
          name,
          `${leaderless} of ${partitions} partitions have no leader`,
          'Start the brokers that hold them.',
        )
      }
      return found(
        'kafka topic',
        'ok',
        name,
        `${partitions} partitions, all led; ${mayWrite === null ? 'the brokers do not say whether we may write' : 'we may write'}`,
      )
  }
}

function addressOf(text: string): Address {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

const DAY_MS = 86_400_000
const CERTIFICATE_DAYS_LEAST = 14

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { mavenJars } from '../../scripts/rig/maven-jars.ts'
import { pythonPackages } from '../../scripts/rig/python-packages.ts'

const run = promisify(execFile)
const JOBS = join(import.meta.dirname, '../../examples/edge-readers')

/** What a job found, each row once. */
export interface Found {
  readonly records: number
  readonly kinds: Readonly<Record<string, number>>
  readonly statuses: readonly { readonly status: number | null; readonly count: number; readonly p99: number | null }[]
  /** Lines that rows of kind dropped tell of. */
  readonly lost: number
  /** Of ClickHouse: records that are no row. */
  readonly unread?: number
}

export interface SparkRun {
  readonly bootstrap: string
  readonly topic: string
  /** Where the stream keeps how far it is; null reads all as a batch. */
  readonly folder: string | null
}

/** Resolves to a runner of the Spark job, once all it needs is on this machine. */
export async function installSpark(): Promise<(options: SparkRun) => Promise<Found>> {
  const python = await pythonFor('pyspark')
  const version = requirement('pyspark').split('==')[1]!
  const jars = await mavenJars({
    name: `spark-kafka-${version}`,
    artifacts: [`org.apache.spark:spark-sql-kafka-0-10_2.13:${version}`],
    without: BROUGHT_BY_PYSPARK,
    jarsMin: 4,
  })
  const files = readdirSync(jars).map((name) => join(jars, name))
  return ({ bootstrap, topic, folder }) =>
    found(python, ['spark_access.py', bootstrap, topic, ...(folder === null ? [] : [folder])], {
      SPARK_JARS: files.join(','),
    })
}

export interface ClickHouseRun {
  readonly bootstrap: string
  readonly topic: string
  readonly group: string
  /** How many to wait for. */
  readonly records: number
}

/** Resolves to a runner of the ClickHouse job, once all it needs is on this machine. */
export async function installClickHouse(): Promise<(options: ClickHouseRun) => Promise<Found>> {
  const python = await pythonFor('chdb')
  return ({ bootstrap, topic, group, records }) =>
    found(python, ['clickhouse_access.py', bootstrap, topic, group, String(records)], {})
}

const BROUGHT_BY_PYSPARK = [
  'org.apache.hadoop:*',
  'org.apache.spark:spark-tags_2.13',
  'org.scala-lang:*',
  'org.scala-lang.modules:*',
  'org.slf4j:*',
  'org.lz4:*',
  'org.xerial.snappy:*',
  'com.google.code.findbugs:*',
]

async function pythonFor(name: string): Promise<string> {
  return join(await pythonPackages([requirement(name)]), 'bin/python')
}

/** The line of requirements.txt. */
function requirement(name: string): string {
  const lines = readFileSync(join(JOBS, 'requirements.txt'), 'utf8').split('\n')
  const line = lines.find((one) => one.startsWith(`${name}==`))
  if (line === undefined) throw new Error(`examples/edge-readers/requirements.txt does not name ${name}`)
  return line
}

async function found(python: string, [job, ...args]: readonly string[], env: Record<string, string>): Promise<Found> {
  const { stdout } = await run(python, ['-B', join(JOBS, job!), ...args], { env: { ...process.env, ...env } })
  return JSON.parse(stdout) as Found
}

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startProcess } from '../../scripts/rig/process.ts'
import { hasPython, pythonPackages } from '../../scripts/rig/python-packages.ts'
import { openScene, PROTO_FOLDER, passes, TASK_PROTO } from './scene.ts'

const PACKAGES = ['grpcio==1.85.1', 'grpcio-tools==1.85.1', 'grpcio-status==1.85.1']
const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'

test('grpcio takes every road of TaskService, with code generated from our .proto', { skip }, async () => {
  const python = join(await pythonPackages(PACKAGES), 'bin/python')
  const stubs = await mkdtemp(join(tmpdir(), 'forebay-grpcio-'))
  try {
    const out = [`--python_out=${stubs}`, `--grpc_python_out=${stubs}`]
    await promisify(execFile)(python, ['-m', 'grpc_tools.protoc', `-I${PROTO_FOLDER}`, ...out, TASK_PROTO])
    await using scene = await openScene()
    await using client = startProcess({
      name: 'grpcio client',
      command: python,
      args: ['-B', join(import.meta.dirname, 'python/client.py'), scene.target, scene.key],
      env: { PYTHONPATH: stubs },
    })
    await passes(client)
  } finally {
    await rm(stubs, { recursive: true, force: true })
  }
})

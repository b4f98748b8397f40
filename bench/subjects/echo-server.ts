import Fastify from 'fastify'

/** echo-server.ts PORT: a bare Fastify that reads the body and answers; keeps nothing. The limit of the machine. */
const [port] = process.argv.slice(2) as [string]

const app = Fastify()
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/accept', (_request, reply) => reply.code(202).type('application/json').send('{"ok":1}'))
app.post('/call', (request, reply) => reply.type('application/json').send(request.body))
await app.listen({ host: '127.0.0.1', port: Number(port) })
console.log('ready')

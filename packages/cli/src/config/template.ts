/** What `forebay init` writes: every line that is not commented out says its default, or makes the first curl work. */
export const CONFIG_TEMPLATE = `# yaml-language-server: $schema=forebay.schema.json

# Everything has a default; this file may be empty. Each key has a twin in the environment: FOREBAY_HTTP_LISTEN.
# All keys: docs/configuration.md, or hover over them in an editor.

# The durable log: a file in \`data\`, for one process, or a Kafka cluster for many.
broker: embedded
# broker: kafka://127.0.0.1:9092

# What is kept of tasks for reading: a file in \`data\`, or a server that all processes share.
store: embedded
# store: postgres://forebay:password@127.0.0.1:5432/forebay

data: ./.forebay

# Where callers come in, by HTTP.
http:
  listen: 127.0.0.1:8080

# Where workers dial in, and callers who speak gRPC.
grpc:
  listen: 127.0.0.1:8081

# Who may call. Without keys: everybody who reaches the port. \`forebay keys new NAME\` prints the two lines.
# auth:
#   keys:
#     - principal: shop
#       sha256: "…"

queues:
  # Workers dial in and ask for it:  POST /v1/queues/hello/tasks
  hello:
    timeout: 30s
    retry: { attempts: 5, within: 10m }

  # One order after the other for each customer; a method of your own gRPC server does the work.
  # orders:
  #   route: POST /orders/{customer}
  #   key: path.customer
  #   order: key
  #   target: grpc://127.0.0.1:50051/shop.v1.Orders/Place

  # An HTTP endpoint gets each task as POST.
  # legacy:
  #   target: http://127.0.0.1:9000/jobs

# What services may publish, for others to consume:  POST /v1/events
# events:
#   account_created:
#     schemas: { 1: ./account-created.json }

# Access logs of nginx, as \`forebay nginx\` lets it write them; \`forebay logs query\` answers over them.
# edge:
#   files: [{ path: /var/log/nginx/forebay.log }]
`

import { answerPlaces } from './answer-places.ts'
import { type Directive, written } from './directives.ts'
import { grpcSide } from './grpc-side.ts'
import { httpSide } from './http-side.ts'
import type { NginxPlan } from './plan.ts'
import { lostMaps } from './problem-answers.ts'
import { sharedDirectives } from './shared-side.ts'
import { upstreams } from './upstreams.ts'

/** A whole file for nginx's `conf.d`, each directive with its reason. */
export function renderNginx(plan: NginxPlan): string {
  const hasGrpc = plan.gateways.every(({ grpc }) => grpc !== null)
  const directives: Directive[] = [
    ...sharedDirectives(plan),
    ...lostMaps(),
    answerPlaces(),
    ...upstreams(plan),
    httpSide(plan),
    ...(hasGrpc ? [grpcSide(plan)] : []),
  ]
  return HEADER + written(directives)
}

const HEADER = `# Forebay behind nginx, made by \`forebay nginx\`. It belongs inside http { }: save it as /etc/nginx/conf.d/forebay.conf,
# then \`nginx -t && nginx -s reload\`. Why it is so: docs/nginx.md.
`

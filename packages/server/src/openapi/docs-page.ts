import { hash } from 'node:crypto'
import { curlLine } from './curl.ts'
import { DOCS_STYLE } from './docs-style.ts'
import type { Json } from './json.ts'
import { html, Markup, prose } from './markup.ts'
import { type ShownOperation, shownOperations } from './shown-operation.ts'

/** Nothing is run and nothing is fetched: the page is all there is. */
export const DOCS_POLICY = `default-src 'none'; style-src 'sha256-${hash('sha256', DOCS_STYLE, 'base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** The document as a page for people; `base` is what comes before the paths, 'http://127.0.0.1:8080'. */
export function docsPage(document: Json, base: string): string {
  const operations = shownOperations(document)
  const { title, version, summary } = document.info as Record<string, string>
  const tags = (document.tags as readonly { readonly name: string; readonly description: string }[]).filter(
    ({ name }) => operations.some(({ tag }) => tag === name),
  )
  const ofTag = (name: string) => operations.filter(({ tag }) => tag === name)
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title!} at ${base}</title>
<style>${new Markup(DOCS_STYLE)}</style>
</head>
<body>
<nav aria-label="Operations">
<a href="#top"><strong>${title!}</strong></a>
${tags.map(({ name }) => html`<h2>${name}</h2><ul>${ofTag(name).map(entry)}</ul>`)}
<h2>Shapes</h2><ul>${Object.keys(schemasOf(document)).map(schemaEntry)}</ul>
</nav>
<main id="top">
<h1>${title!} <small>${version!}</small></h1>
<p>${summary!} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>
${document.security === undefined ? null : html`<p>Every request but those of the platform wants an access key: <code>export FOREBAY_KEY=…</code> before the lines below.</p>`}
${tags.map(({ name, description }) => html`<h2>${name}</h2><p class="soft">${prose(description)}</p>${ofTag(name).map((one) => section(one, base))}`)}
<h2>Shapes</h2>
${Object.entries(schemasOf(document)).map(([name, schema]) => html`<details id="shape-${name}"><summary><code>${name}</code></summary>${block(schema)}</details>`)}
</main>
</body>
</html>
`
  return text
}

function entry({ id, method, path }: ShownOperation): Markup {
  return html`<li><a href="#${id}">${badge(method)} ${path}</a></li>`
}

function schemaEntry(name: string): Markup {
  return html`<li><a href="#shape-${name}">${name}</a></li>`
}

function section(operation: ShownOperation, base: string): Markup {
  const { id, method, path, summary, description, parameters, body, answers } = operation
  return html`<section id="${id}">
<h3>${prose(summary)}</h3>
<p class="address">${badge(method)} ${path}</p>
${description === '' ? null : html`<p>${prose(description)}</p>`}
<pre class="curl">${curlLine(operation, base)}</pre>
${parameters.length === 0 ? null : html`<details open><summary>Parameters</summary><table>${parameters.map(parameterRow)}</table></details>`}
${body === null ? null : bodyPart(body)}
<details><summary>Answers</summary><table>${answers.map(answerRow)}</table></details>
</section>`
}

function parameterRow(parameter: Json): Markup {
  const schema = (parameter.schema ?? {}) as Json
  const facts = [
    String(parameter.in),
    ...(parameter.required === true ? ['required'] : []),
    ...(schema.default === undefined ? [] : [`default ${String(schema.default)}`]),
    ...(Array.isArray(schema.enum) ? [`one of ${schema.enum.join(', ')}`] : []),
  ]
  const description = [parameter.description, schema.description].filter((one) => typeof one === 'string').join(' ')
  return html`<tr><td><code>${String(parameter.name)}</code><br><span class="soft">${facts.join(', ')}</span></td><td>${prose(description)}</td></tr>`
}

function bodyPart({ type, schema, required }: NonNullable<ShownOperation['body']>): Markup {
  const name = typeof schema.$ref === 'string' ? schema.$ref.split('/').at(-1)! : null
  const shape =
    name !== null
      ? html` of the shape <a href="#shape-${name}"><code>${name}</code></a>`
      : Object.keys(schema).length === 0
        ? html` or any other type`
        : html`${block(schema)}`
  return html`<h4>Body</h4><p><code>${type}</code>${shape}${required ? '' : ' (may be empty)'}</p>`
}

function answerRow({ status, description, types }: ShownOperation['answers'][number]): Markup {
  return html`<tr><td><strong>${status}</strong> <span class="soft">${types.join(', ')}</span></td><td>${prose(description)}</td></tr>`
}

function badge(method: string): Markup {
  return html`<span class="method ${method.toLowerCase()}">${method}</span>`
}

function block(value: unknown): Markup {
  return html`<pre>${JSON.stringify(value, null, 2)}</pre>`
}

function schemasOf(document: Json): Json {
  return (document.components as Json).schemas as Json
}

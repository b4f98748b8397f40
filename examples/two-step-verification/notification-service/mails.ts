/** What people read. Both parts say the same, and names are escaped where they stand in HTML. */

export interface MailText {
  readonly subject: string
  readonly text: string
  readonly html: string
}

export function codeMail(firstName: string, code: string, expiresAt: Date): MailText {
  const spaced = `${code.slice(0, 3)} ${code.slice(3)}`
  const until = `${expiresAt.toISOString().slice(11, 16)} UTC`
  return mail('Your code', [
    `Hello ${firstName},`,
    'enter this code on the page where you registered:',
    { code: spaced },
    `It is good until ${until}, and takes the place of any code before it.`,
    'If you did not register, somebody mistyped their address: do nothing, and nothing happens.',
  ])
}

export function welcomeMail(firstName: string): MailText {
  return mail('Your address is verified', [`Hello ${firstName},`, 'your address is verified. Welcome!'])
}

/** The subject holds no code: it is shown on locked screens. */
function mail(subject: string, paragraphs: readonly (string | { readonly code: string })[]): MailText {
  const text = paragraphs.map((each) => (typeof each === 'string' ? each : `    ${each.code}`)).join('\n\n')
  const body = paragraphs
    .map((each) =>
      typeof each === 'string'
        ? `<p>${escapeHtml(each)}</p>`
        : `<p style="font-size:2em;font-weight:bold;letter-spacing:.1em">${escapeHtml(each.code)}</p>`,
    )
    .join('\n')
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>
<body style="font-family:sans-serif;line-height:1.5">
${body}
</body></html>
`
  return { subject, text: `${text}\n`, html }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

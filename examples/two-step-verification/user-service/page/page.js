/** Register, enter the code, done: three sections of one page, of which one is shown. */

const NO_ANSWER = 'The server does not answer. Try again in a moment.'
let email = ''

byId('register-form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const answer = await send('register', event.target)
  if (!answer.ok) return
  email = byId('email').value.trim()
  byId('address').textContent = email
  show('verify')
})

byId('verify-form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const answer = await send('verify', event.target, { email })
  if (answer.ok) show('done')
})

byId('resend').addEventListener('click', async () => {
  const answer = await post('resend', { email })
  byId('code').value = ''
  notice(
    answer.ok ? 'If you can have a new code, it is on its way. It takes the place of the one before.' : answer.title,
  )
})

/** Sends the fields of a form, and shows at each what is wrong with it. */
async function send(path, form, more = {}) {
  const fields = Object.fromEntries(new FormData(form))
  for (const name of Object.keys(fields)) fault(name, '')
  const button = form.querySelector('button')
  button.disabled = true
  const answer = await post(path, { ...fields, ...more })
  button.disabled = false
  const errors = (answer.errors ?? []).filter(({ field }) => field in fields)
  for (const { field, message } of errors) fault(field, message)
  notice(answer.ok || errors.length > 0 ? '' : answer.title)
  if (errors.length > 0) byId(errors[0].field).focus()
  return answer
}

async function post(path, body) {
  try {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { ...(await response.json()), ok: response.ok }
  } catch {
    return { ok: false, title: NO_ANSWER }
  }
}

function show(name) {
  for (const section of document.querySelectorAll('section')) section.hidden = section.id !== name
  // Whoever hears the page is told where they are now.
  const title = byId(`${name}-title`)
  document.title = title.textContent
  title.focus()
}

function fault(name, message) {
  const input = byId(name)
  byId(`${name}-fault`).textContent = message
  if (message === '') {
    input.removeAttribute('aria-invalid')
    input.removeAttribute('aria-describedby')
  } else {
    input.setAttribute('aria-invalid', 'true')
    input.setAttribute('aria-describedby', `${name}-fault`)
  }
}

function notice(text) {
  byId('notice').textContent = text
}

function byId(id) {
  return document.getElementById(id)
}

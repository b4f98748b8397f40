import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startChromium } from '../../../scripts/rig/chromium.ts'
import { openRig } from './rig.ts'

const EMAIL = 'ada@example.com'

test('a person registers in a browser, finds the code on the page of the mails, and is verified', async () => {
  await using rig = await openRig()
  const catcher = await rig.catcher()
  const users = await rig.users()
  await rig.notifications(catcher.smtp)
  await using browser = await startChromium()
  const page = await browser.open()
  await page.goto(users.url)

  // What is missing is said at each field, and the first of them is where the keyboard is.
  await page.type('#firstName', 'Ada')
  await page.press('Enter')
  await page.until(`document.querySelector('#email-fault').textContent !== ''`)
  assert.deepEqual(await page.evaluate(`[...document.querySelectorAll('[aria-invalid]')].map(({ id }) => id)`), [
    'lastName',
    'email',
  ])
  assert.equal(await page.evaluate('document.activeElement.id'), 'lastName')
  const describedBy = `document.querySelector('#email').getAttribute('aria-describedby')`
  assert.equal(await page.evaluate(describedBy), 'email-fault')

  await page.type('#lastName', 'Lovelace')
  await page.type('#email', EMAIL)
  await page.press('Enter')
  await page.until(`!document.querySelector('#verify').hidden`)
  assert.equal(await page.evaluate('document.activeElement.id'), 'verify-title')
  assert.equal(await page.evaluate(`document.querySelector('#address').textContent`), EMAIL)
  await page.evaluate(`document.querySelector('#resend').click()`)
  await page.until(`document.querySelector('#notice').textContent !== ''`)

  const mailbox = await browser.open()
  const isThere = `[...document.querySelectorAll('td a')].filter((link) => link.textContent === 'Your code').length === 2`
  do await mailbox.goto(catcher.url)
  while (!(await mailbox.evaluate(isThere)))
  const codes: string[] = []
  for (const link of await mailbox.evaluate<string[]>(
    `[...document.querySelectorAll('td a')].map(({ href }) => href)`,
  )) {
    await mailbox.goto(link)
    const text = await mailbox.evaluate<string>(`document.querySelector('#text').textContent`)
    codes.push(/\d{3} \d{3}/.exec(text)?.[0] ?? '')
  }
  const [newest = '', older = ''] = codes

  if (older !== newest) {
    await page.type('#code', older)
    await page.press('Enter')
    await page.until(`document.querySelector('#code-fault').textContent !== ''`)
    await page.evaluate(`document.querySelector('#code').value = ''`)
  }
  await page.type('#code', newest)
  await page.press('Enter')
  await page.until(`!document.querySelector('#done').hidden`)
  assert.equal(await page.evaluate('document.title'), 'Your address is verified')

  // Each field has a label, and the browser found nothing to complain about: no inline script, nothing from elsewhere.
  assert.equal(
    await page.evaluate(`[...document.querySelectorAll('input')].every(({ labels }) => labels.length === 1)`),
    true,
  )
  assert.deepEqual(page.complaints, [])
  assert.deepEqual(mailbox.complaints, [])
})

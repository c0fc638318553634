// A login backend with Express, behind a proxy that asks neptun-auth about every request but those for
// /login: who it is that asks, the proxy says in Remote-User.
import express from 'express'
import { WebSocketServer } from 'ws'
import { closeWithSession } from './open-socket.mjs'

const { HOST = '127.0.0.1', PORT = '3000', AUTH = 'http://127.0.0.1:8080', ASK_EVERY = '20000' } = process.env
const { AUTH_ADMIN = 'http://127.0.0.1:8081', NEPTUN_AUTH_ADMIN_TOKEN } = process.env
// Yours lie in a database, as slow hashes.
const USERS = new Map([['anna', 'correct horse battery'], ['berta', 'staple of the north']])

const escaped = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
const page = (body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Example</title>${body}</html>`

const loginPage = (problem = '') => page(`
  <h1>Log in</h1><p role="alert">${problem}</p>
  <form method="post">
    <label>Name <input name="user" autocomplete="username" required></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
    <label><input name="stay" type="checkbox"> Stay logged in</label>
    <button>Log in</button>
  </form>`)

// The browser calls neptun-auth by itself: the proxy leads /api/auth/ there. Labels are other people's
// words, so they become text and never HTML.
const accountPage = (user) => page(`
  <h1>Hello <span id="user">${escaped(user)}</span></h1>
  <ul></ul>
  <button id="others">End all others</button> <button id="logout">Log out</button>
  <script type="module">
    const call = async (method, path) => {
      const answer = await fetch('/api/auth/' + path, { method })
      if (answer.status === 401) location = '/login'
      if (!answer.ok) throw new Error(path + ' answered ' + answer.status)
      return answer.status === 204 ? null : answer.json()
    }
    const end = (path) => async () => { await call('DELETE', path); await show() }
    const item = ({ id, label, lastSeenAt, current }) => {
      const li = document.createElement('li')
      li.append((label ?? 'Unknown device') + ', ' + (current ? 'this one' : new Date(lastSeenAt).toLocaleString()))
      const button = { textContent: 'End', onclick: end('sessions/' + id) }
      if (!current) li.append(Object.assign(document.createElement('button'), button))
      return li
    }
    const show = async () => {
      const { sessions } = await call('GET', 'sessions')
      document.querySelector('ul').replaceChildren(...sessions.map(item))
    }
    document.querySelector('#others').onclick = end('sessions/others')
    document.querySelector('#logout').onclick = async () => { await call('POST', 'logout'); location = '/login' }
    await show()
    const live = new WebSocket(location.origin.replace('http', 'ws') + '/live')
    live.onclose = ({ code }) => { if (code === 4401) location = '/login' }
  </script>`)

// What a list of sessions calls this browser.
const labelOf = (agent = '') => {
  const name = (known) => known.find((word) => agent.includes(word)) ?? 'unknown'
  const browser = name(['Firefox', 'Edg', 'Chrome', 'Safari'])
  return `${browser} on ${name(['Android', 'iPhone', 'Windows', 'Mac OS', 'Linux'])}`
}

// Where to go after the login: it is the client's word, so to no other site.
const target = (url) => {
  const path = url.split('return_to=')[1] ?? '/'
  return /^\/(?![/\\])/.test(path) ? path : '/'
}

const app = express().disable('x-powered-by').use(express.urlencoded({ extended: false }))

app.get('/login', (request, response) => response.send(loginPage()))

app.post('/login', async (request, response) => {
  // A page elsewhere must not log its visitor in as somebody else.
  if (!['same-origin', undefined].includes(request.get('sec-fetch-site'))) return response.sendStatus(403)
  const { user, password, stay } = request.body ?? {}
  if (typeof password !== 'string' || USERS.get(user) !== password) {
    return response.status(401).send(loginPage('That is not a name and its password.'))
  }
  // What the browser had before is over, and of more than five devices the oldest.
  const login = { user, cookie: request.get('cookie'), keep: 5, persistent: stay === 'on' }
  const answer = await fetch(`${AUTH_ADMIN}/admin/sessions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${NEPTUN_AUTH_ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...login, label: labelOf(request.get('user-agent')) }),
  }).catch(() => null)
  if (!answer?.ok) return response.status(503).send(loginPage('Please try again in a moment.'))
  const { setCookie } = await answer.json()
  response.set('Set-Cookie', setCookie).redirect(303, target(request.originalUrl))
})

app.get('/', (request, response) => response.send(accountPage(request.get('remote-user'))))

const server = app.listen(Number(PORT), HOST)
// What is open already ends with its session.
new WebSocketServer({ server, path: '/live' }).on('connection', (socket, request) =>
  closeWithSession(socket, request.headers.cookie, `${AUTH}/api/auth/check`, Number(ASK_EVERY)))

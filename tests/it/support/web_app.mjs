// A web app as small as one can be that keeps its session as Neptun's does: sealed by h3.
import { createServer } from 'node:http'
import { createApp, createRouter, eventHandler, readRawBody, toNodeListener, useSession } from 'h3'

const session = event =>
  useSession(event, { name: 'neptun-session', password: process.env.NUXT_SESSION_PASSWORD })

const router = createRouter()
router.post('/login', eventHandler(async event => {
  // What the user has the app keep with the session, should there be anything.
  const body = await readRawBody(event)
  const more = body && JSON.parse(body)
  await (await session(event)).update({ user: { id: 5, more } })
  return 'welcome'
}))
router.get('/api/_auth/session', eventHandler(async event => (await session(event)).data))

const app = createApp().use(router)
const server = createServer(toNodeListener(app))
server.listen(0, '127.0.0.1', () => console.log(`listening on port ${server.address().port}`))

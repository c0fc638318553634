// An app that repeats what it hears over a WebSocket, for as long as the session lives.
import { WebSocketServer } from 'ws'

const { RECIPE, CHECK, EVERY } = process.env
const { closeWithSession } = await import(RECIPE)

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket, request) => {
  socket.on('message', said => socket.send(String(said)))
  closeWithSession(socket, request.headers.cookie, CHECK, Number(EVERY))
})
server.on('listening', () => console.log(`listening on port ${server.address().port}`))

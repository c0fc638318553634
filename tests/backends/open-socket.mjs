/**
 * Closes a WebSocket (or ends a stream: whatever has `close` and says when it is closed) once its
 * session is over, for the proxy asked about it only when it was opened.
 *
 * @param socket the open socket
 * @param cookie the `Cookie` header of its handshake
 * @param check where the service is asked, `http://127.0.0.1:8080/api/auth/check`
 * @param every how often, in milliseconds: 15 to 30 seconds
 */
export function closeWithSession(socket, cookie, check, every) {
  const ask = async () => {
    const options = { headers: { cookie }, signal: AbortSignal.timeout(every) }
    const answer = await fetch(check, options).catch(() => undefined)
    // Any other answer, and none at all, keeps it open: nobody has said that the session is over.
    if (answer?.status === 401) socket.close(4401, 'The session is over')
  }
  const asking = setInterval(ask, every)
  socket.on('close', () => clearInterval(asking))
}

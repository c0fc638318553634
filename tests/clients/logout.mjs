// @ts-check

/** Refused, failed, timed out: the session may live on, and the browser keeps its cookie. */
export class NotKnown extends Error {}

/**
 * Ends the session whose cookie the browser holds for `service`.
 *
 * @param {string} service such as https://auth.example.com, or '' for the page's own origin
 * @param {RequestInit} [init] more for `fetch`, such as a `cookie` header outside of browsers
 * @returns {Promise<'logged out' | 'was over already' | 'no session cookie'>}
 */
export async function logout(service, init) {
  /** @type {Response} */ let answer
  /** @type {any} */ let body
  try {
    answer = await fetch(`${service}/api/auth/logout`, {
      method: 'POST',
      credentials: 'include',
      signal: AbortSignal.timeout(5000),
      ...init,
    })
    body = await answer.json()
  } catch (cause) {
    throw new NotKnown('no answer that can be read', { cause })
  }
  if (answer.status === 200 && body === true) return 'logged out'
  if (answer.status === 200 && body === false) return 'was over already'
  if (answer.status === 401) return 'no session cookie'
  throw new NotKnown(`${answer.status} ${body?.data?.message}`)
}

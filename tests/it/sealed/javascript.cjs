// Says of each JSON text on stdin what h3 (`getSession`) and nuxt-auth-utils make of it.
const MAX = 2n ** 63n - 1n
const whole = number =>
  number >= 2 ** 63 ? MAX : number <= -(2 ** 63) ? -MAX - 1n : BigInt(Math.trunc(number))

// What fits a header. Of a number only that it is one: how it was written is lost here.
function named(user) {
  if (typeof user === 'number') return 'a number'
  const fits = typeof user === 'string' && /^[ -~]{1,256}$/.test(user) && user.trim() === user
  return fits ? user : null
}

function content(text) {
  let parsed
  try {
    parsed = JSON.parse(text)
  } catch {
    return 'no JSON'
  }
  const session = Object.assign({ id: '', createdAt: null, data: Object.create(null) }, parsed)
  const user = session.data?.user
  if (!user) return 'anonymous'
  if (!session.id || typeof session.id !== 'string') return 'malformed'
  if (typeof session.createdAt !== 'number') return 'malformed'
  return {
    id: session.id.toWellFormed(),
    createdAt: whole(session.createdAt).toString(),
    user: Object.hasOwn(user, 'id') ? named(user.id) : null,
  }
}

const chunks = []
process.stdin.on('data', chunk => chunks.push(chunk)).on('end', () => {
  const texts = JSON.parse(Buffer.concat(chunks).toString())
  process.stdout.write(JSON.stringify(texts.map(content)))
})

"""A login backend with FastAPI, behind a proxy that asks neptun-auth about every request but those for
/login: who it is that asks, the proxy says in Remote-User. Run with `python -P`, or this file would be
taken for the package of its name."""
import os
import re
from html import escape
from urllib.parse import parse_qs

import httpx
import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse

ADMIN = os.environ.get("AUTH_ADMIN", "http://127.0.0.1:8081")
TOKEN = os.environ["NEPTUN_AUTH_ADMIN_TOKEN"]
# Yours lie in a database, as slow hashes.
USERS = {"anna": "correct horse battery", "berta": "staple of the north"}

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Example</title>'
LOGIN = """<h1>Log in</h1><p role="alert">PROBLEM</p><form method="post">
  <label>Name <input name="user" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <label><input name="stay" type="checkbox"> Stay logged in</label>
  <button>Log in</button></form>"""
# The browser calls neptun-auth by itself: the proxy leads /api/auth/ there. Labels are other people's
# words, so they become text and never HTML.
ACCOUNT = """<h1>Hello <span id="user">USER</span></h1>
<ul></ul><button id="others">End all others</button> <button id="logout">Log out</button>
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
</script>"""

app = FastAPI(openapi_url=None)
neptun_auth = httpx.AsyncClient(base_url=ADMIN, headers={"authorization": f"Bearer {TOKEN}"})


def login_page(problem: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(HEAD + LOGIN.replace("PROBLEM", problem), status)


def label_of(agent: str) -> str:
    """What a list of sessions calls this browser."""
    name = lambda known: next((word for word in known if word in agent), "unknown")
    browser = name(["Firefox", "Edg", "Chrome", "Safari"])
    return f"{browser} on {name(['Android', 'iPhone', 'Windows', 'Mac OS', 'Linux'])}"


@app.get("/login")
def form() -> HTMLResponse:
    return login_page()


@app.post("/login")
async def log_in(request: Request, user_agent: str = Header(""), cookie: str = Header(""),
                 sec_fetch_site: str = Header("same-origin")):
    if sec_fetch_site != "same-origin":  # A page elsewhere must not log its visitor in as somebody else.
        return HTMLResponse("Forbidden", 403)
    fields = {name: values[0] for name, values in parse_qs((await request.body()).decode(errors="replace")).items()}
    user = fields.get("user")
    if user not in USERS or USERS[user] != fields.get("password"):
        return login_page("That is not a name and its password.", 401)
    # What the browser had before is over, and of more than five devices the oldest.
    login = {"user": user, "cookie": cookie, "keep": 5, "persistent": "stay" in fields, "label": label_of(user_agent)}
    try:
        answer = (await neptun_auth.post("/admin/sessions", json=login)).raise_for_status().json()
    except httpx.HTTPError:
        return login_page("Please try again in a moment.", 503)
    # Where to go is the client's word, so to no other site.
    path = request.url.query.partition("return_to=")[2]
    there = path if re.match(r"/(?![/\\])", path) else "/"
    return RedirectResponse(there, 303, {"set-cookie": answer["setCookie"]})


@app.get("/")
def account(remote_user: str = Header()) -> HTMLResponse:
    return HTMLResponse(HEAD + ACCOUNT.replace("USER", escape(remote_user)))


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "3000")), log_level="warning")

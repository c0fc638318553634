"""An app that takes all that a proxy could let through: HTTP/1.1, HTTP/2 by `Upgrade: h2c`,
WebSockets, bodies of any size. Hypercorn serves it."""

import asyncio
import json

go_on = asyncio.Event()


def headers_of(scope):
    return [[name.decode("latin1"), value.decode("latin1")] for name, value in scope["headers"]]


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)


async def websocket(scope, receive, send):
    """Says which headers came with the handshake, then whatever it hears."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(headers_of(scope))})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def http(scope, receive, send):
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"data: last\n\n"})
        return
    if scope["path"] == "/go-on":
        go_on.set()
    seen = {"version": scope["http_version"], "headers": headers_of(scope), "length": length}
    body = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

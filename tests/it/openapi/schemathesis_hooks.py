"""Gives schemathesis what a caller of either listener has: the admin token, and a live session.

Every call to the public listener gets a session of its own, since the one before may be over.
"""

import json
import os
import urllib.request

import schemathesis

ADMIN = os.environ["ADMIN"]
TOKEN = {"Authorization": "Bearer " + os.environ["ADMIN_TOKEN"]}


@schemathesis.auth(refresh_interval=None).apply_to(path_regex="^/api/")
class LiveSession:
    def get(self, case, context):
        request = urllib.request.Request(
            ADMIN + "/admin/sessions",
            data=b'{"user":"42"}',
            headers={"Content-Type": "application/json"} | TOKEN,
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["token"]

    def set(self, case, data, context):
        case.cookies = (case.cookies or {}) | {"neptun-session": data}


@schemathesis.auth().apply_to(path_regex="^/admin/")
class AdminToken:
    def get(self, case, context):
        return TOKEN

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers.update(data)

"""Ends the session whose cookie an httpx client holds."""

from enum import Enum

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError


class Outcome(Enum):
    LOGGED_OUT = "logged out"
    WAS_OVER = "was over already"
    NO_COOKIE = "no session cookie"


class NotKnown(Exception):
    """Refused, failed, timed out: the session may live on, and the client keeps its cookie."""


class Reason(BaseModel):
    message: str


class Envelope(BaseModel):
    """What every error answer holds."""

    statusCode: int
    statusMessage: str
    data: Reason


def logout(client: httpx.Client) -> Outcome:
    try:
        answer = client.post("/api/auth/logout", timeout=5)
        if answer.status_code == 200:
            ended = TypeAdapter(bool).validate_json(answer.content, strict=True)
            return Outcome.LOGGED_OUT if ended else Outcome.WAS_OVER
        error = Envelope.model_validate_json(answer.content)
    except (httpx.HTTPError, ValidationError) as cause:
        raise NotKnown(f"no answer that can be read: {type(cause).__name__}") from cause
    if error.statusCode == 401:
        return Outcome.NO_COOKIE
    raise NotKnown(f"{error.statusCode} {error.data.message}")

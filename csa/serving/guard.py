"""What every request passes before it is answered: whose it is, how large, how slow, how many."""

import asyncio
import base64
import binascii
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from csa.serving.measured import Measured

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_OPEN = ("/healthz", "/readyz")  # what a load balancer asks without a token
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        b"media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
)


@dataclass(frozen=True)
class Door:
    """What is let in.

    Attributes:
        token: who has it may ask; None lets everybody ask who reaches the port.
        hosts: names by which the server may be addressed; empty for any. A page of another site
            that points its own name at this machine is refused by it.
        body: bytes of a request.
        bodies: bytes of all requests that are being received.
        seconds: for a request to arrive whole; a connection may be silent as long.
        at_once: requests that are answered or wait for it; others are told to come again.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    body: int = 32 << 20
    bodies: int = 512 << 20
    seconds: float = 30.0
    at_once: int = 64


class _RefusedError(Exception):
    """A status and one sentence."""

    def __init__(self, status: int, said: str, **headers: str) -> None:
        super().__init__(said)
        self.status, self.said, self.headers = status, said, headers


class Guard:
    """The application behind a door.

    Args:
        app: what answers, an ASGI application.
        door: what is let in.
        measured: counts what was answered.
    """

    def __init__(self, app: Any, door: Door, measured: Measured) -> None:
        self._app, self._door, self._measured = app, door, measured
        self._held = self._working = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 499  # of one that went away

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            await self._let_in(scope, receive, guarded)
        except _RefusedError as no:
            await _say(guarded, no)
        finally:
            self._measured.answered(scope["path"], status, time.perf_counter() - begun)

    async def _let_in(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._check_host(headers)
        scope["authorized"] = self._authorized(headers)
        if not scope["authorized"] and scope["path"] not in _OPEN:
            raise _RefusedError(
                401,
                "a token is needed; send it as 'Authorization: Bearer TOKEN', or as the password "
                "that the browser asks for",
                **{"www-authenticate": 'Basic realm="csa", charset="UTF-8"'},
            )
        body = b""
        if scope["method"] not in ("GET", "HEAD"):
            body = await self._whole(headers, receive)
        if self._working >= self._door.at_once and scope["path"].startswith("/v1/"):
            raise _RefusedError(
                429,
                f"{self._working} requests are being answered; come again in a moment",
                **{"retry-after": "1"},
            )
        self._working += 1
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._working -= 1

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        name = headers.get(b"host", b"").decode("latin-1").lower()
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if self._door.hosts and name not in self._door.hosts:
            raise _RefusedError(
                421, f"this server is not called {name[:80]!r}; ask it as {self._door.hosts[0]}"
            )

    def _authorized(self, headers: dict[bytes, bytes]) -> bool:
        if self._door.token is None:
            return True
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(given.strip(), self._door.token.encode())

    async def _whole(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The body, when all of it is there."""
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or int(told[:20]) > self._door.body:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._door.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _RefusedError(400, "the request broke off")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._held += len(parts[-1])
                    if size > self._door.body:
                        raise self._too_large()
                    if self._held > self._door.bodies:
                        raise _RefusedError(
                            429, "too much is being received; come again", **{"retry-after": "2"}
                        )
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise _RefusedError(
                408, f"the request did not arrive whole within {self._door.seconds:g} s"
            ) from None
        finally:
            self._held -= size

    def _too_large(self) -> _RefusedError:
        return _RefusedError(
            413,
            f"the request is larger than {self._door.body >> 20} MiB; send fewer or smaller items",
        )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first, then what else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _say(send: Send, no: _RefusedError) -> None:
    body = json.dumps({"error": no.said}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in no.headers.items()]
    if no.status in (408, 413, 429):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": no.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The server of the page to try a network: for this machine's own browser, and no one else.

Web sites that this machine's browser has open can send requests here, too. They are told from the
page by the names that browsers put into `Host` and `Origin`, which no site can change.
"""

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peclr_jax import stopping
from peclr_jax.errors import MachineError, UserError, printable
from peclr_jax.pages.skeleton import widget_script
from peclr_jax.photos.boxes import HANDEDNESS

Predict = Callable[[bytes, str, str], dict[str, Any]]
"""Bytes of a photo, its name and the side of its hands -> a document to be sent as JSON."""

SIDES = ("auto", *HANDEDNESS)
"""What a request may say of the side of its hands; "auto" leaves it to the network."""

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
MOST_BYTES = 20_000_000
"""Largest photo that is taken."""
MOST_WAITING = 8
"""Photos that are kept in memory until their turn comes."""
# Of a larger photo this many times as much is read, for browsers listen only when they have spoken.
_PATIENCE = 10
# Seconds in which photos may still be answered when the program is to end.
_AT_THE_END_S = 3
_LONGEST_NAME = 200

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def application(predict: Predict) -> ASGIApp:
    """Returns the page's application.

    Args:
      predict: Called with one photo at a time, on a thread of its own; may raise `UserError`.
    """
    style = f"{_file('page.css')}\n{_file('serve.css')}"
    routes = [
        _fixed("/", _file("serve.html"), "text/html"),
        _fixed("/serve.css", style, "text/css"),
        _fixed("/skeleton.js", widget_script(), "text/javascript"),
        _fixed("/serve.js", _file("serve.js"), "text/javascript"),
        Route("/predict", _Predictions(predict).answer, methods=["POST"]),
    ]
    return _Guard(
        Starlette(
            routes=routes, exception_handlers={HTTPException: _refuse, Exception: _admit_fault}
        )
    )


def listen(port: int) -> socket.socket:
    """Returns a socket that listens on this machine alone, on any free port if it is 0."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be opened ({error.strerror})"
        raise MachineError(
            f"port {port} of {HOST} {reason}: name another by --config.port=8001, or 0 for any"
        ) from None


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serves an application until SIGINT, SIGTERM or SIGHUP, which is then raised again."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,  # which would close the handlers of others, absl's with its stream
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_AT_THE_END_S,
    )
    server = uvicorn.Server(config)
    with _ended_by_hangup(server):
        server.run(sockets=[listener])


@contextmanager
def _ended_by_hangup(server: uvicorn.Server) -> Iterator[None]:
    """Ends a server when the terminal is closed, as it ends itself by SIGINT and SIGTERM."""
    signum = getattr(signal, "SIGHUP", None)  # which Windows has not
    # As the server's own, only the main thread of a program is told of signals.
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signum is None or not stopping.heeded(signum):
        yield
        return
    received = []

    def end(number: int, frame: object) -> None:
        del frame
        received.append(number)
        server.should_exit = True

    before = signal.signal(signum, end)
    try:
        yield
    finally:
        signal.signal(signum, before)
    if received:
        signal.raise_signal(signum)


class _Guard:
    """Refuses what the page did not send, and adds the headers that bind the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app = self._app
        if reason := _foreign(Request(scope)):
            app = JSONResponse({"error": reason}, 403)
        await app(scope, receive, send_with_headers)


def _foreign(request: Request) -> str | None:
    """Returns why a request is refused, None if it is the page's."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    # Any port: that of a tunnel from another machine differs from ours.
    if host.partition(":")[0] not in _NAMES:
        return f"the page is only served as {' or '.join(_NAMES)}"
    if origin not in (None, f"http://{host}"):
        return "other sites may not use the network of this machine"
    return None


class _Predictions:
    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        # Of one thread, so that there is one prediction at a time.
        self._thread = ThreadPoolExecutor(1)
        self._waiting = 0

    async def answer(self, request: Request) -> Response:
        if self._waiting >= MOST_WAITING:
            raise HTTPException(429, f"{self._waiting} photos are waiting already: try again soon")
        self._waiting += 1
        try:
            return await self._answer(request)
        except asyncio.CancelledError:  # what waits at the end, which would be logged as a fault
            raise HTTPException(503, "the program has ended") from None
        finally:
            self._waiting -= 1

    async def _answer(self, request: Request) -> Response:
        handedness = request.query_params.get("handedness", SIDES[0])
        if handedness not in SIDES:
            raise HTTPException(400, f"handedness must be {' or '.join(SIDES)}")
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise HTTPException(
                415, "a form was sent: send the file itself, as by `curl --data-binary @photo.jpg`"
            )
        name = _plain_name(request.query_params.get("name", ""))
        content = await _body(request)
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(
                self._thread, self._predict, content, name, handedness
            )
        except UserError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse(found)


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                parts.clear()
                if size > _PATIENCE * MOST_BYTES:
                    raise _too_large({"Connection": "close"})
            else:
                parts.append(part)
    except ClientDisconnect:
        raise HTTPException(400, "the photo was sent only in part") from None
    if size > MOST_BYTES:
        raise _too_large()
    if not size:
        raise HTTPException(400, "no photo was sent: the body of the request must be an image file")
    return b"".join(parts)


def _too_large(headers: dict[str, str] | None = None) -> HTTPException:
    sentence = f"a photo may have {MOST_BYTES // 10**6} MB at most; shrink it"
    return HTTPException(413, sentence, headers)


def _plain_name(name: str) -> str:
    last = PurePosixPath(name.replace("\\", "/")).name
    return printable(last or "photo")[:_LONGEST_NAME]


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _admit_fault(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "a fault of the program: the terminal shows it"}, 500)


def _fixed(path: str, content: str, media_type: str) -> Route:
    async def answer(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return Route(path, answer)


def _file(name: str) -> str:
    return resources.files("peclr_jax.pages").joinpath(name).read_text(encoding="utf-8")

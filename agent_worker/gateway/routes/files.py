"""Files that were built before, read once and answered from memory, compressed as they were at the build.

A page is there after one answer: no thread reads a file for it, and nothing is compressed while somebody waits.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.status import HTTP_304_NOT_MODIFIED, HTTP_404_NOT_FOUND
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

INDEX = "index.html"
_HASHED = "assets/"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Content codings by preference, and how the file ends that has the coded form of its neighbour."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Not the machine's own table: where that calls a script plain text, `nosniff` would keep browsers from running it."""

_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Form:
    """A file in one coding: '' is the file as it is."""

    encoding: str
    body: bytes
    etag: str


class BuiltFiles:
    """ASGI app: `GET` and `HEAD` of a folder's files; `/` is its `index.html`.

    What lies below `assets/` has its content's hash in its name, and is kept by browsers for ever; of the rest they ask
    each time whether it is still the same (RFC 9110 §13.1.2).

    Args:
        folder: Read whole, now; `NAME.br` and `NAME.gz` are forms of `NAME`.
        headers: Sent with each answer.
    """

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        self._headers = headers
        coded = tuple(_ENCODINGS.values())
        self._files = {
            file.relative_to(folder).as_posix(): _forms(file)
            for file in folder.rglob("*")
            if file.is_file() and not file.name.endswith(coded)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; sockets are refused.

        Raises:
            HTTPException: 404, there is no such file, or nothing that could be done with it.
        """
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/") or INDEX
        forms = self._files.get(path)
        if forms is None or scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(HTTP_404_NOT_FOUND)
        await self._answer(path, forms, Headers(scope=scope))(scope, receive, send)

    def _answer(self, path: str, forms: tuple[_Form, ...], asked: Headers) -> Response:
        form = _chosen(forms, asked.get("accept-encoding", ""))
        is_hashed = path.startswith(_HASHED)
        headers = {
            **self._headers,
            "Cache-Control": "public, max-age=31536000, immutable" if is_hashed else "no-cache",
            "ETag": form.etag,
        }
        if len(forms) > 1:
            headers["Vary"] = "Accept-Encoding"
        if _is_known(form.etag, asked.get("if-none-match", "")):
            return Response(status_code=HTTP_304_NOT_MODIFIED, headers=headers)
        if form.encoding:
            headers["Content-Encoding"] = form.encoding
        headers["Content-Type"] = _TYPES.get(Path(path).suffix, "application/octet-stream")
        return Response(form.body, headers=headers)


def _forms(file: Path) -> tuple[_Form, ...]:
    """Read a file with its coded forms, the preferred first and the plain one last."""
    coded = {name: file.with_name(file.name + suffix) for name, suffix in _ENCODINGS.items()}
    present = {name: path.read_bytes() for name, path in coded.items() if path.is_file()}
    return tuple(_Form(name, body, _etag(body)) for name, body in (*present.items(), ("", file.read_bytes())))


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _chosen(forms: tuple[_Form, ...], accepted: str) -> _Form:
    """Return the first form that is named as accepted (RFC 9110 §12.5.3); the plain one is always."""
    named = (part.partition(";") for part in accepted.split(","))
    welcome = {name.strip().lower() for name, _, weight in named if not _REFUSED.fullmatch(weight)}
    return next((form for form in forms if form.encoding in welcome), forms[-1])


def _is_known(etag: str, known: str) -> bool:
    tags = (tag.strip().removeprefix("W/") for tag in known.split(","))
    return any(tag in (etag, "*") for tag in tags)

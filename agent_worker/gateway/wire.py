"""HTTP/1.1 as uvicorn reads it, with what it leaves open: how long and how large the head of a request may be.

httptools collects a header for as long as one comes; a thousand silent connections, or one endless header, would cost
nothing but our memory.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD_BYTES = 64 * 1024 + 32 * 1024
"""The longest URL, and 32 KiB of headers."""

HEAD_TIMEOUT_S = 20.0
"""Browsers open connections in advance and may keep them for a while."""

_BODY = b'{"code": "headers_too_large", "details": null, "hint": null, "message": "Headers are too large"}'
_TOO_LARGE = b"\r\n".join(
    (
        b"HTTP/1.1 431 Request Header Fields Too Large",
        b"content-type: application/json; charset=utf-8",
        b"content-length: %d" % len(_BODY),
        b"connection: close",
        b"",
        _BODY,
    )
)


class BoundedHttp(HttpToolsProtocol):
    """One connection whose requests must begin within a time and in a size."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; end the connection when a head has grown too large."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head; the bytes counted so far belong to it or came before in the same packet."""
        super().on_message_begin()
        self._is_in_head = True
        self._await_head()

    def on_headers_complete(self) -> None:
        """End the head."""
        self._forget_timer()
        self._is_in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._forget_timer()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        if self._is_in_head and not self.transport.is_closing():
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

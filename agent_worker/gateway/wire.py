"""HTTP/1.1 as uvicorn speaks it, with what it leaves open: heads without an end, and peers that stop reading.

httptools collects a header for as long as one comes; a thousand silent connections, or one endless header, would cost
nothing but our memory. An answer that nobody takes would keep its connection for as long as the peer's machine lives,
also after it was closed, for a transport that is closed still wants to write what it holds.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD_BYTES = 96 * 1024
"""The longest URL, and more than enough for headers."""

LINGER_S = 1.0

LONGEST_PARSED_URL = 65_535
"""What httptools reads; it takes a longer one for no HTTP at all."""

HEAD_TIMEOUT_S = 20.0
"""Browsers open connections in advance and may keep them for a while."""

STALL_S = 60.0
"""A client that takes nothing of an answer for so long counts as gone."""

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
    """One connection whose requests must begin within a time and in a size, and whose answers must be taken.

    At most one piece of an answer waits here: the next one is asked for when the system has taken the last.

    Args:
        head_timeout_s: Longest wait for a head to end.
        stall_s: Longest time in which the peer takes nothing of what waits for it.
        args: uvicorn's.
        named: uvicorn's.
    """

    def __init__(
        self, *args: Any, head_timeout_s: float = HEAD_TIMEOUT_S, stall_s: float = STALL_S, **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self._head_timeout_s = head_timeout_s
        self._stall_s = stall_s
        self._stall_timer: TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = True
        self._is_refused = False
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # Paused is then the same as: the peer has not taken everything.
        transport.set_write_buffer_limits(high=0)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_timer()
        self._forget_stall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the peer to take what waits for it."""
        super().pause_writing()
        self._await_progress()

    def resume_writing(self) -> None:
        """Go on: nothing waits."""
        self._forget_stall()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Read on; end the connection when a head has grown too large."""
        if self._is_refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to a protocol with bounds of its own, and let go of the parser, which holds this."""
        self._forget_stall()
        self.transport.set_write_buffer_limits()
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # as the base class does when a connection is lost

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
        self.url = self.url[:LONGEST_PARSED_URL]  # still too long, so that it is refused as such
        super().on_headers_complete()

    def _refuse(self) -> None:
        """Answer, and go on reading for a moment: closing on unread bytes would reset the answer away."""
        self._is_refused = True
        self._forget_timer()
        self.transport.write(_TOO_LARGE)
        self.transport.write_eof()
        self._head_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _await_head(self) -> None:
        self._forget_timer()
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._give_up)

    def _give_up(self) -> None:
        if self._is_in_head and not self.transport.is_closing():
            self.transport.close()

    def _await_progress(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self._stall_s, self._require_progress, left)

    def _require_progress(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._await_progress()
        else:
            self.transport.abort()

    def _forget_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

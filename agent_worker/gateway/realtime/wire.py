"""WebSockets as uvicorn serves them, with two things that it leaves open.

A frame is written where it arises, by one system call: through ASGI each would wait for a task of its socket to wake up,
which costs as much again. And a peer that stopped reading lets go of its connection: a transport that is closed still
wants to write what it holds, and with a full window it would wait for ever, with its memory and its file descriptor.
"""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

ABORT_S = 15.0
"""After the end of the conversation; uvicorn waits 10 s for the peer's closing frame, which a slow one may send."""

_EXTENSION = "agent_worker.wire"


def wire_of(scope: Scope) -> BoundedSocket:
    """Return the connection under an ASGI scope; it is there until the application returns."""
    wire: BoundedSocket = scope["extensions"][_EXTENSION]["wire"]
    return wire


class BoundedSocket(WebSocketsSansIOProtocol):
    """One connection that is gone some time after its conversation ended, whatever the peer does.

    Attributes:
        abort_s: That time, in seconds.
        on_room: Called when there is room again after there was none. Must neither block nor raise.
    """

    abort_s = ABORT_S
    on_room: Callable[[], None] | None = None
    _abort_timer: TimerHandle | None = None

    async def run_asgi(self) -> None:
        """Serve, then see to it that the connection ends."""
        extensions = self.scope["extensions"] or {}
        extensions[_EXTENSION] = {"wire": self}
        try:
            await super().run_asgi()
        finally:
            del extensions[_EXTENSION]
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(self.abort_s, self.transport.abort)

    @property
    def has_room(self) -> bool:
        """Whether little enough is unsent; asyncio's limit is 64 KiB above what the kernel takes."""
        return self.writable.is_set()

    def write_frame(self, frame: str | bytes) -> None:
        """Send a frame now, whether there is room or not; does nothing once the conversation is over."""
        if self.conn.state is not OPEN or self.transport.is_closing():
            return
        if isinstance(frame, str):
            self.conn.send_text(frame.encode())
        else:
            self.conn.send_binary(frame)
        self.transport.write(b"".join(self.conn.data_to_send()))

    async def room(self) -> None:
        """Return when there is room, or the connection is lost."""
        await self.writable.wait()

    def resume_writing(self) -> None:
        """Let go on who waited for room."""
        super().resume_writing()
        if self.on_room is not None:
            self.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        super().connection_lost(exc)

"""WebSockets as uvicorn serves them, with what it leaves open: a peer that stopped reading never lets go of its connection.

A transport that is closed still wants to write what it holds; with a full window it waits for ever, and so do its memory
and its file descriptor.
"""

from __future__ import annotations

from asyncio import TimerHandle

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT_S = 15.0
"""After the end of the conversation; uvicorn waits 10 s for the peer's closing frame, which a slow one may send."""


class BoundedSocket(WebSocketsSansIOProtocol):
    """One connection that is gone some time after its conversation ended, whatever the peer does."""

    abort_s = ABORT_S
    _abort_timer: TimerHandle | None = None

    async def run_asgi(self) -> None:
        """Serve, then see to it that the connection ends."""
        await super().run_asgi()
        if not self.disconnected:
            self._abort_timer = self.loop.call_later(self.abort_s, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        super().connection_lost(exc)

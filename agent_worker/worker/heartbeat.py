"""Say that this worker lives, from a thread and a connection of its own.

A processor that blocks the event loop for a minute must not cost the worker its lease, so the heartbeat needs
nothing from the loop. It has its own connection, so that a busy pool cannot delay it either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from agent_worker.db.link import Pulse
from agent_worker.domain.errors import AgentWorkerError

logger = structlog.get_logger(__name__)


class Heartbeat:
    """Updates the worker's row every `interval_s` seconds.

    Args:
        pulse: Beats for this worker; closed at the end.
        interval_s: Seconds between beats; a missed one is repeated after a third of that.
        in_flight: How many attempts run, for `status`.
        on_cancel: Called in the heartbeat's thread with the held tasks that somebody asked to cancel.
        on_unknown: Called in the heartbeat's thread when the worker's row is gone, so that it registers again.
        on_drain: Called in the heartbeat's thread, at each beat, when somebody asked the worker to leave.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        interval_s: float,
        in_flight: Callable[[], int],
        on_cancel: Callable[[Sequence[UUID]], None],
        on_unknown: Callable[[], None],
        on_drain: Callable[[], None],
    ) -> None:
        self._pulse = pulse
        self._interval_s = interval_s
        self._in_flight = in_flight
        self._on_cancel = on_cancel
        self._on_unknown = on_unknown
        self._on_drain = on_drain
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_success = time.monotonic()
        self._steady_since: float | None = None
        self._has_failed = False

    @property
    def steady_s(self) -> float:
        """Seconds since heartbeats began to arrive without a failure; 0 while they fail."""
        since = self._steady_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def age_s(self) -> float:
        """Seconds since the last beat that arrived."""
        return time.monotonic() - self._last_success

    def start(self) -> None:
        """Begin; starting what runs already changes nothing."""
        if self._thread is None:
            self._stop.clear()
            self._last_success = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; waits at most two seconds for a beat that hangs. Twice is fine."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            delay_s = self._interval_s if self._beat() else self._interval_s / 3
            self._stop.wait(delay_s)
        self._pulse.close()

    def _beat(self) -> bool:
        try:
            beat = self._pulse.beat(self._in_flight())
        except AgentWorkerError as exc:
            if not self._has_failed:
                logger.warning("heartbeat.failed", error=str(exc), age_s=round(self.age_s, 1))
            self._has_failed, self._steady_since = True, None
            return False
        if self._has_failed:
            logger.info("heartbeat.recovered", after_s=round(self.age_s, 1))
        self._has_failed = False
        self._last_success = time.monotonic()
        self._steady_since = self._steady_since or self._last_success
        if not beat.is_known:
            self._on_unknown()
        if beat.cancel_ids:
            self._on_cancel(beat.cancel_ids)
        if beat.is_drain_asked:
            self._on_drain()
        return True

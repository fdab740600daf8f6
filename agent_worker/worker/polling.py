"""Look out for new tasks without a session of our own, which could hold no locks: by looking.

Looks that find nothing are 20 ms apart at first and then ever longer: up to a second, or up to `interval_s` while hints
arrive (over Supabase Realtime), for then a look is only the safety net. A hint makes the worker look at once, and as
often again as at the start; every worker that offers the kind does so, and the claim decides who gets the task.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_worker.db.link import Ears
from agent_worker.worker.watch import POLL_S, poll_delay_s


class Polling:
    """One worker that looks by itself; a `Lookout`.

    Args:
        ears: Hear of new tasks, as far as they are connected.
        kinds: Kinds the worker offers.
        interval_s: Longest wait between looks.
    """

    def __init__(self, ears: Ears, kinds: Sequence[str], *, interval_s: float) -> None:
        self._ears = ears
        self._kinds = frozenset(kinds)
        self._interval_s = interval_s
        self._quiet_looks = 0

    def begin(self) -> None:
        """Look often again: hints arrive anew, and what was said meanwhile is lost."""
        self._quiet_looks = 0

    def rung(self, kind: str) -> bool:
        """Hear that a task of this kind has come; returns whether it is one we offer."""
        if kind not in self._kinds:
            return False
        self._quiet_looks = 0
        return True

    async def take(self) -> bool:
        """Return False: there is no watch to take."""
        return False

    def is_offered(self, by: str) -> bool:  # noqa: ARG002 - nobody who polls looks out for others
        """Return False: there is no watch to take over."""
        return False

    def leave(self) -> None:
        """Do nothing: everybody looks."""

    def found(self) -> None:
        """Say that a look found tasks, so that there may be more."""
        self._quiet_looks = 0

    async def rest(self) -> float:
        """Return how long to wait after a look that found nothing."""
        self._quiet_looks += 1
        longest_s = self._interval_s if self._ears.connected else min(POLL_S[1], self._interval_s)
        return poll_delay_s(self._quiet_looks, longest_s)

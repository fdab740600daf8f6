"""How often somebody may ask: one token bucket per name, in bounded memory.

A bucket holds `burst` tokens and gains `per_s` each second; a request takes one. A full bucket is as good as none, so
only names that asked lately are kept; past `most` names the one that has not asked for longest is forgotten, which can
only be too kind.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from agent_worker.domain.errors import GatewayError


class Buckets:
    """Token buckets of one kind: per address, or per caller.

    Args:
        per_s: Requests a second that last; 0 sets no limit.
        burst: Requests at once after a pause; at least 1.
        most: Most names that are remembered, about 200 bytes each.
        monotonic: A clock in seconds.
    """

    def __init__(
        self,
        *,
        per_s: float,
        burst: float,
        most: int = 50_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = max(burst, 1.0)
        self._most = most
        self._monotonic = monotonic
        # Name → tokens left and when that was counted; who asked last stands last.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Names that are remembered."""
        return len(self._buckets)

    def wait_s(self, name: str) -> float:
        """Return the seconds until there is a token; 0 when there is one. Takes none."""
        if self._per_s <= 0:
            return 0.0
        return max(0.0, (1.0 - self._left(name, self._monotonic())) / self._per_s)

    def take(self, name: str) -> float:
        """Take a token and return 0; or return the seconds until there is one."""
        if self._per_s <= 0:
            return 0.0
        now = self._monotonic()
        left = self._left(name, now)
        has_token = left >= 1.0
        self._buckets[name] = (left - 1.0 if has_token else left, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if has_token else (1.0 - left) / self._per_s

    def require(self, name: str) -> None:
        """Take a token.

        Raises:
            GatewayError: 429, see `too_many`; there is none.
        """
        wait_s = self.take(name)
        if wait_s:
            raise too_many(wait_s)

    def _left(self, name: str, now: float) -> float:
        left, counted_at = self._buckets.get(name, (self._burst, now))
        return min(self._burst, left + (now - counted_at) * self._per_s)


def too_many(wait_s: float) -> GatewayError:
    """Return the answer to somebody who asks too often, with `Retry-After` in whole seconds."""
    return GatewayError(
        "Too many requests",
        status=429,
        code="over_request_rate_limit",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )

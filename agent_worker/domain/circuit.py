"""When to leave a model alone: a circuit breaker made of values, with time and chance passed in.

```
closed ──refused three times──▶ open ──pause is over──▶ half-open ──the probe is answered──▶ closed
                                  ▲                         │
                                  └──── the probe fails ────┘
```

What a failure means depends on who may be at fault. An overloaded provider says so (`OVERLOAD`) and would say it to
anybody. A call that gets no answer (`SILENCE`) tells of a provider that is down, or of a request that breaks it, so
one request that is tried again and again counts once. Every other refusal is an `ANSWER`: the provider works.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from agent_worker.domain.errors import ProcessorError, UpstreamError

OVERLOAD_STATUSES = frozenset({429, 503, 529})
"""Too many requests, out of service, and Anthropic's own "overloaded"."""
SILENT_STATUSES = frozenset({None, 408, 502, 504})
"""No answer, or a gateway's word that it got none. Not 500, with which servers answer requests they choke on."""


class Verdict(enum.Enum):
    """What a failed call says about its provider."""

    OVERLOAD = "overload"
    SILENCE = "silence"
    ANSWER = "answer"


def verdict(error: ProcessorError) -> Verdict:
    """Judge a failed call."""
    if not isinstance(error, UpstreamError):
        return Verdict.ANSWER
    if error.status in OVERLOAD_STATUSES:
        return Verdict.OVERLOAD
    return Verdict.SILENCE if error.status in SILENT_STATUSES else Verdict.ANSWER


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long. Seconds.

    Attributes:
        failures: So many in a row open it. One refusal is an accident; and since an attempt tries three times, a task
            alone in a storm opens it before it has lost its attempt.
        long_wait_s: A provider that asks for this much is believed at once: an attempt would hold its slot too long.
        first_pause_s: Ceiling of the first pause; it doubles up to `max_pause_s`. A pause lasts between half of its
            ceiling and all of it, so that the processes of a fleet do not come back in step.
        max_retry_after_s: Most of a `Retry-After` that is believed, so that a daily quota is asked for again.
        probe_s: A probe that has not been answered for so long gets company: models may think for minutes.
        returns_per_s: How many of the calls that were turned away come back in a second, one process counted.
        max_spread_s: Longest time over which they come back.
        most_refusals: In so many epochs a request may be refused before it pays with its attempts: some refusals of a
            request itself, such as one that is larger than the quota of a minute, look like overload.
    """

    failures: int = 3
    long_wait_s: float = 5.0
    first_pause_s: float = 4.0
    max_pause_s: float = 60.0
    max_retry_after_s: float = 600.0
    probe_s: float = 60.0
    returns_per_s: float = 100.0
    max_spread_s: float = 600.0
    most_refusals: int = 20

    def pause_s(self, pauses: int, retry_after_s: float | None, *, roll: float) -> float:
        """Return how long to pause after `pauses` pauses in a row; `roll` is uniform in [0, 1)."""
        if retry_after_s is not None:
            return min(max(retry_after_s, MIN_WAIT_S), self.max_retry_after_s) * (1 + roll / 10)
        doublings = min(pauses, 32)  # 2^32 s is past any max_pause_s; keeps the power small
        return min(self.first_pause_s * 2.0**doublings, self.max_pause_s) * (1 + roll) / 2

    def spread_s(self, turned_away: int) -> float:
        """Return over how long the calls come back of which so many were turned away."""
        return min(max(turned_away / self.returns_per_s, MIN_WAIT_S), self.max_spread_s)


MIN_WAIT_S = 1.0
"""No wait is shorter, whatever a provider says, for each costs the task a claim."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was let through: in which epoch of the circuit, and when."""

    epoch: int
    since: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one model. Times are seconds on one monotonic clock.

    Calls of an earlier epoch, which were let through before the last pause, tell nothing new.

    Attributes:
        epoch: How often it has opened.
        failures: Failures in a row while closed.
        suspect: The request whose silence was counted last.
        pauses: Pauses since a call last succeeded.
        paused_until: When the pause ends or ended; None when closed.
        probe_since: When the last probe that is not yet answered was let through.
        turned_away: Calls refused since the pause began.
    """

    policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    epoch: int = 0
    failures: int = 0
    suspect: int | None = None
    pauses: int = 0
    paused_until: float | None = None
    probe_since: float | None = None
    turned_away: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is open or half-open."""
        return self.paused_until is not None

    def wait_s(self, now: float) -> float:
        """Return for how long a call would be turned away; 0 lets it through."""
        if self.paused_until is None:
            return 0.0
        if now < self.paused_until:
            return self.paused_until - now
        if self.probe_since is None or now - self.probe_since >= self.policy.probe_s:
            return 0.0
        # Nobody knows how long the probe takes; the longer it has taken, the longer it may still.
        return max(now - self.probe_since, MIN_WAIT_S)

    def admit(self, now: float) -> tuple[Circuit, Call]:
        """Let a call through for which `wait_s` is 0; when half-open it is the probe."""
        probe = replace(self, probe_since=now) if self.is_open else self
        return probe, Call(self.epoch, now)

    def turn_away(self, now: float, *, roll: float) -> tuple[Circuit, float]:
        """Refuse a call and return when to come back, in seconds: after the pause, and not all at once."""
        delay_s = self.wait_s(now) + roll * self.policy.spread_s(self.turned_away)
        return replace(self, turned_away=self.turned_away + 1), max(delay_s, MIN_WAIT_S)

    def answered(self, call: Call) -> Circuit:
        """Close, since the provider answers; the next failure opens again until a call has succeeded."""
        if call.epoch != self.epoch or not self.is_open:
            return self
        return replace(
            self, failures=self.policy.failures - 1, paused_until=None, probe_since=None, turned_away=0
        )

    def succeeded(self, call: Call) -> Circuit:
        """Close and forget: a call got its whole answer."""
        return self if call.epoch != self.epoch else Circuit(self.policy, self.epoch)

    def failed(
        self, call: Call, what: Verdict, *, request: int, retry_after_s: float | None, now: float, roll: float
    ) -> Circuit:
        """Take note of a failure, which may open the circuit.

        Args:
            call: As `admit` returned it.
            what: What the failure says.
            request: Tells requests apart: equal for equal ones.
            retry_after_s: What the provider asked for.
            now: The time.
            roll: Uniform in [0, 1).
        """
        if call.epoch != self.epoch:
            return self
        if what is Verdict.ANSWER:
            return self.answered(call)
        if what is Verdict.SILENCE and request == self.suspect and not self.is_open:
            return self
        suspect = request if what is Verdict.SILENCE else self.suspect
        failures = self.failures + 1
        asks_for_long = retry_after_s is not None and retry_after_s >= self.policy.long_wait_s
        if not (self.is_open or asks_for_long or failures >= self.policy.failures):
            return replace(self, failures=failures, suspect=suspect)
        return Circuit(
            self.policy,
            epoch=self.epoch + 1,
            suspect=suspect,
            pauses=self.pauses + 1,
            paused_until=now + self.policy.pause_s(self.pauses, retry_after_s, roll=roll),
        )

    def abandoned(self, call: Call) -> Circuit:
        """Let another probe through if this call was the one, for it has ended without telling anything."""
        if call.epoch != self.epoch or self.probe_since != call.since:
            return self
        return replace(self, probe_since=None)

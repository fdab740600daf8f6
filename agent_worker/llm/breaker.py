"""Leave an overloaded model alone, so that its storm holds no slots that other work could use.

One breaker per model id and process. Not per provider: quotas are counted per model and key, so one model's storm says
nothing about another; when all of a provider is down, each of its models finds out within three calls. Not per fleet:
processes share nothing but the database, and a call or two more from each is cheaper than asking it before every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from agent_worker.domain.chat import ChatChunk, ChatModel, ChatRequest, Finished
from agent_worker.domain.circuit import BreakerPolicy, Call, Circuit, Verdict, verdict
from agent_worker.domain.errors import ProcessorError, ProviderPaused

logger = structlog.get_logger(__name__)

REMEMBERED = 1_000
"""Most refused requests that are remembered; it is the latest that come back."""


class Breaker:
    """The circuit of one model, with a clock and dice, and a voice.

    Args:
        model_id: `provider/model`.
        policy: When it opens and for how long.
        on_pause: Called with the provider each time it opens.
        clock: Monotonic seconds.
        roll: Uniform in [0, 1).
    """

    def __init__(
        self,
        model_id: str,
        policy: BreakerPolicy = BreakerPolicy(),  # noqa: B008 - frozen
        *,
        on_pause: Callable[[str], None] = lambda _provider: None,
        clock: Callable[[], float] = time.monotonic,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._model_id = model_id
        self._provider = model_id.partition("/")[0]
        self._circuit = Circuit(policy)
        self._refusals = _Refusals(policy.most_refusals)
        self._on_pause = on_pause
        self._clock = clock
        self._roll = roll
        self._opened = asyncio.Event()
        self._opened_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is open or half-open; may be read from any thread."""
        return self._circuit.is_open

    def enter(self) -> Call:
        """Let a call through.

        Raises:
            ProviderPaused: Not now; says when to come back.
        """
        now = self._clock()
        if self._circuit.wait_s(now) > 0:
            raise self.refusal()
        self._circuit, call = self._circuit.admit(now)
        return call

    def refusal(self) -> ProviderPaused:
        """Count a call, refused or given up, that has to come back, and return the error to raise."""
        self._circuit, delay_s = self._circuit.turn_away(self._clock(), roll=self._roll())
        return ProviderPaused(
            f"The provider of {self._model_id} is overloaded; the task waits and goes on by itself.",
            provider=self._provider,
            retry_after_s=delay_s,
        )

    async def wait(self, seconds: float) -> None:
        """Sleep before another try.

        Raises:
            ProviderPaused: The breaker opened meanwhile; at once.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._opened.wait()
            raise self.refusal()

    def answered(self, call: Call) -> None:
        """Take note of the first piece of an answer."""
        self._change(self._circuit.answered(call))

    def succeeded(self, call: Call) -> None:
        """Take note of a whole answer."""
        self._change(self._circuit.succeeded(call))

    def failed(self, call: Call, error: ProcessorError, request: ChatRequest) -> bool:
        """Take note of a failure.

        Returns:
            Whether the provider refuses everybody, so that this request is not to blame.
        """
        what = verdict(error)
        fingerprint = 0 if what is Verdict.ANSWER else hash(repr(request.messages))
        if what is Verdict.OVERLOAD and not self._refusals.is_believed(fingerprint, call.epoch):
            self.abandoned(call)
            return False
        circuit = self._circuit.failed(
            call,
            what,
            request=fingerprint,
            retry_after_s=error.retry_after_s,
            now=self._clock(),
            roll=self._roll(),
        )
        self._change(circuit, reason=error.code)
        return what is Verdict.OVERLOAD

    def abandoned(self, call: Call) -> None:
        """Take note that a call has ended; of no consequence if it has told something before."""
        self._change(self._circuit.abandoned(call))

    def _change(self, circuit: Circuit, *, reason: str = "") -> None:
        before, self._circuit = self._circuit, circuit
        now = self._clock()
        if circuit.epoch != before.epoch:
            self._opened_at = self._opened_at if before.is_open else now
            self._opened.set()
            self._on_pause(self._provider)
            logger.warning(
                "breaker.opened",
                provider=self._provider,
                model=self._model_id,
                code=reason,
                pause_s=round(circuit.wait_s(now), 1),
            )
        elif before.is_open and not circuit.is_open:
            self._opened.clear()
            after_s = round(now - self._opened_at, 1)
            logger.info("breaker.closed", provider=self._provider, model=self._model_id, after_s=after_s)


class _Refusals:
    """In how many epochs each of the latest requests was refused.

    Args:
        most: For so many a refusal is believed to be nobody's fault.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def is_believed(self, request: int, epoch: int) -> bool:
        """Count a refusal and say whether it still looks like overload."""
        last, count = self._seen.pop(request, (-1, 0))
        # Equal requests may be refused at the same time, and one is tried several times: that is one refusal.
        count += epoch != last
        self._seen[request] = (epoch, count)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return count <= self._most


class GuardedChat:
    """A model behind its breaker: each request asks it first and tells it how things went.

    Args:
        model: The model itself.
        breaker: The breaker of this model's id.
    """

    def __init__(self, model: ChatModel, breaker: Breaker) -> None:
        self._model = model
        self._breaker = breaker

    @property
    def id(self) -> str:
        """`provider/model` of the model inside."""
        return self._model.id

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield what the model yields.

        Raises:
            ProviderPaused: The breaker is open, or this request's refusal opened it, or came while it was open.
            UpstreamError: As the model raised it, also when the breaker is open: after no answer, or half of one, for
                the request may be what breaks the provider; and after a refusal too many.
        """
        call = self._breaker.enter()
        has_begun = False
        try:
            async with aclosing(self._model.stream(request)) as chunks:
                async for chunk in chunks:
                    if not has_begun:
                        self._breaker.answered(call)
                        has_begun = True
                    if isinstance(chunk, Finished):
                        self._breaker.succeeded(call)
                    yield chunk
        except ProcessorError as error:
            is_innocent = self._breaker.failed(call, error, request)
            if is_innocent and not has_begun and self._breaker.is_open:
                raise self._breaker.refusal() from error
            raise
        finally:
            self._breaker.abandoned(call)

"""What a run has used, and what it may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent_worker.domain.chat import Usage as Tokens
from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.declarations import Limits

Price: TypeAlias = Callable[[str, Tokens], float | None]
"""US dollars of one call by model id; None when nobody knows."""

_FREE = ("echo/", "local/")
"""Providers that bill nobody."""


@dataclass(frozen=True, slots=True)
class Used:
    """Calls of models, tokens in and out, and US dollars as far as prices are known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )

    def __sub__(self, other: Used) -> Used:
        return Used(
            self.calls - other.calls,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cost - other.cost,
        )

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    def as_json(self) -> JsonObject:
        """Return `{llm_calls, input_tokens, output_tokens, total_tokens, cost_usd}`."""
        return {
            "llm_calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.tokens,
            "cost_usd": round(self.cost, 9),
        }

    @classmethod
    def read(cls, stored: JsonValue) -> Used:
        """Return what `as_json` wrote; nothing for anything else."""
        if not isinstance(stored, Mapping):
            return cls()
        calls, asked, answered, cost = (
            value if isinstance(value := stored.get(name), int | float) else 0
            for name in ("llm_calls", "input_tokens", "output_tokens", "cost_usd")
        )
        return cls(int(calls), int(asked), int(answered), float(cost))


class LimitExceeded(ProcessorError):
    """The run has used up what its definition allows; neither `retry` nor `onError` goes on from here."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="limit_exceeded", retryable=False)


class Budget:
    """Counts calls of models for a whole run, blocks that were finished by earlier attempts included.

    Each block counts in a part of its own, which is a part of what is around it: so a block knows what it used, whatever
    else runs beside it. What an attempt used in a block that it did not finish is forgotten with the attempt.

    Args:
        limits: The definition's.
        price: Needed for `maxCost` alone.
        around: What this is a part of; None for the whole run.
    """

    def __init__(self, limits: Limits, price: Price | None = None, *, around: Budget | None = None) -> None:
        self._limits = limits
        self._price = price
        self._around = around
        self.used = Used()
        """So far, by this part and what is inside it."""

    def part(self) -> Budget:
        """Return a budget that counts by itself, and here as well."""
        return Budget(self._limits, self._price, around=self)

    def check(self, model: str) -> None:
        """Ask whether another call is allowed.

        Raises:
            LimitExceeded: It is not; or there is a `maxCost`, and nobody knows this model's price.
        """
        if self._around is not None:
            self._around.check(model)
            return
        limits, used = self._limits, self.used
        if limits.max_llm_calls is not None and used.calls >= limits.max_llm_calls:
            raise LimitExceeded(
                f"The run has made {used.calls} calls of models, as many as maxLlmCalls allows."
            )
        if limits.max_tokens is not None and used.tokens >= limits.max_tokens:
            raise LimitExceeded(
                f"The run has used {used.tokens:,} of {limits.max_tokens:,} tokens (maxTokens)."
            )
        if limits.max_cost is not None and used.cost >= limits.max_cost:
            raise LimitExceeded(f"The run has cost ${used.cost:.4f} of ${limits.max_cost:g} (maxCost).")
        if limits.max_cost is not None and self._cost(model, Tokens()) is None:
            missing = (
                "" if self._price is not None else " Prices come with: pip install 'agent-worker[pipelines]'."
            )
            raise LimitExceeded(f"The price of {model} is not known, so maxCost cannot be kept.{missing}")

    def spend(self, model: str, tokens: Tokens) -> None:
        """Count a call."""
        cost = self._cost(model, tokens) or 0.0
        self.restore(Used(1, tokens.input_tokens, tokens.output_tokens, cost))

    def _cost(self, model: str, tokens: Tokens) -> float | None:
        if model.startswith(_FREE):
            return 0.0
        return None if self._price is None else self._price(model, tokens)

    def restore(self, used: Used) -> None:
        """Count what an earlier attempt used."""
        self.used += used
        if self._around is not None:
            self._around.restore(used)

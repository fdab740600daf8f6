"""From a model id to a model: which providers there are, and which model answers when a task names none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from weakref import WeakValueDictionary

from pydantic import SecretStr

from agent_worker.domain.chat import ChatModel
from agent_worker.domain.circuit import BreakerPolicy
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import langchain, local
from agent_worker.llm.breaker import Breaker, GuardedChat
from agent_worker.llm.echo import ECHO_ID, EchoChat
from agent_worker.llm.images import OpenAIImages
from agent_worker.llm.openai import OpenAIChat
from agent_worker.llm.openai_access import DEFAULT_TIMEOUTS, OPENAI_URL, OpenAIAccess, Timeouts
from agent_worker.llm.retry import RetryingChat, RetryPolicy

OPENAI_DEFAULT_ID = "openai/gpt-5.4-mini"

_NO_KEY = SecretStr("none")
"""For compatible servers that ask for no key; the client insists on sending one."""


class Models:
    """Makes chat models by id and keeps them, with their connections, until `close`.

    Every model but `echo` tries transient refusals again before its first piece of text (`retry.py`), and is left alone
    for a while when it is overloaded (`breaker.py`).

    Args:
        default: Id of the model for tasks that name none; None lets `default_reason`'s rule choose.
        openai_api_key: Key for `openai/…` and `langchain-openai/…`; an empty one counts as none.
        openai_base_url: Address of an OpenAI-compatible server instead of OpenAI's; it may need no key.
        data_dir: This product's directory for files; used by the local model only.
        timeouts: Limits of one request.
        retry: How often and how long transient refusals are tried again.
        breaker: When an overloaded model is left alone, and for how long.
        on_pause: Called with the provider each time a model is.

    Example:
        ```python
        models = Models(default=None, openai_api_key=None, openai_base_url=None, data_dir=Path(".agent-worker"))
        async with aclosing(models.get("echo/echo").stream(request)) as chunks:
            ...
        await models.close()
        ```
    """

    def __init__(
        self,
        *,
        default: str | None = None,
        openai_api_key: SecretStr | None = None,
        openai_base_url: str | None = None,
        data_dir: Path,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        breaker: BreakerPolicy = BreakerPolicy(),  # noqa: B008 - frozen
        on_pause: Callable[[str], None] = lambda _provider: None,
    ) -> None:
        self._openai = _openai_access(openai_api_key, openai_base_url, timeouts)
        self.images = OpenAIImages(self._require_openai)
        """Makes pictures at the same server."""
        self._local: local.LocalChat | None = None
        self._data_dir = data_dir
        self._timeouts = timeouts
        self._retry = retry
        self._breaker_policy = breaker
        self._on_pause = on_pause
        # A breaker lives as long as its model, in the cache or in a running attempt.
        self._breakers: WeakValueDictionary[str, Breaker] = WeakValueDictionary()
        self._default_id, self._default_reason = _choose(default, self._openai)
        # Bounded, since a task may name any model; what is dropped holds no connection of its own.
        self._cached = lru_cache(maxsize=128)(self._make)

    @property
    def default_id(self) -> str:
        """The model of tasks that name none."""
        return self._default_id

    @property
    def default_reason(self) -> str:
        """Why it is that one, as a sentence: configured, else OpenAI if reachable, else local, else echo."""
        return self._default_reason

    @property
    def open_breakers(self) -> int:
        """How many models are left alone because they are overloaded; may be read from any thread."""
        # Copied first, as models come and go meanwhile.
        breakers = [reference() for reference in self._breakers.valuerefs()]
        return sum(breaker is not None and breaker.is_open for breaker in breakers)

    def get(self, name: str | None = None) -> ChatModel:
        """Return the model `provider/model`, the default for None. Nothing is imported or connected yet.

        Raises:
            ProcessorError: No such model (code `unknown_model`), no key for it (`missing_key`), or its package is
                not installed (`missing_package`). None of them is retryable.
        """
        return self._cached(self._default_id if name is None else name)

    async def close(self) -> None:
        """Close every connection and let go of the local server; a model used again opens what it needs."""
        if self._openai is not None:
            await self._openai.close()
        if self._local is not None:
            await self._local.close()

    def _make(self, model_id: str) -> ChatModel:
        if model_id == ECHO_ID:
            return EchoChat()
        model = self._make_provider(model_id)
        breaker = self._breakers.setdefault(
            model_id, Breaker(model_id, self._breaker_policy, on_pause=self._on_pause)
        )
        return RetryingChat(
            GuardedChat(model, breaker), self._retry, sleep=breaker.wait, is_paused=lambda: breaker.is_open
        )

    def _make_provider(self, model_id: str) -> ChatModel:
        provider, _, model = model_id.partition("/")
        if model_id == local.LOCAL_ID:
            self._local = self._local or local.LocalChat(self._data_dir, timeouts=self._timeouts)
            return self._local
        if model and provider == "openai":
            return OpenAIChat(model_id, self._require_openai())
        if model and provider in langchain.PROVIDERS:
            access = self._require_openai() if provider == langchain.LANGCHAIN_OPENAI else None
            return langchain.LangChainChat(model_id, access=access, timeouts=self._timeouts)
        raise _unknown(model_id)

    def _require_openai(self) -> OpenAIAccess:
        if self._openai is None:
            raise ProcessorError(
                "OpenAI's models need a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for another server.",
                code="missing_key",
                retryable=False,
            )
        return self._openai


def _openai_access(key: SecretStr | None, base_url: str | None, timeouts: Timeouts) -> OpenAIAccess | None:
    if key is None or not key.get_secret_value():
        return OpenAIAccess(api_key=_NO_KEY, base_url=base_url, timeouts=timeouts) if base_url else None
    return OpenAIAccess(api_key=key, base_url=base_url or OPENAI_URL, timeouts=timeouts)


def _choose(default: str | None, openai: OpenAIAccess | None) -> tuple[str, str]:
    if default:
        return default, "It is the configured default."
    if openai is not None and openai.is_openai:
        return OPENAI_DEFAULT_ID, "OPENAI_API_KEY is set."
    if openai is not None:
        return (
            OPENAI_DEFAULT_ID,
            "OPENAI_BASE_URL is set; name one of that server's models with AGENT_WORKER_MODEL.",
        )
    if local.is_installed():
        return local.LOCAL_ID, "OPENAI_API_KEY is not set, and the local model is installed."
    return ECHO_ID, (
        "OPENAI_API_KEY is not set and no local model is installed, so answers only repeat the prompt; "
        f"set the key, or run: {local.INSTALL_COMMAND}"
    )


def _unknown(model_id: str) -> ProcessorError:
    others = ", ".join(f"{provider}/…" for provider in sorted(langchain.PROVIDERS))
    return ProcessorError(
        f"There is no model {model_id[:80]!r}. Ids are provider/model: openai/…, {local.LOCAL_ID}, {ECHO_ID}, {others}.",
        code="unknown_model",
        retryable=False,
    )

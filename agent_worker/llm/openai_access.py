"""How to reach one OpenAI-compatible server: address, key, limits, and the connections kept to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent_worker.domain.loopback import is_loopback

if TYPE_CHECKING:
    import openai

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one request, in seconds; the whole answer is limited by the task's own timeout.

    Attributes:
        connect_s: To open the connection, TLS included.
        silence_s: Between two pieces of an answer. Reasoning models think for minutes before the first one.
        pool_s: To wait for a free connection.
    """

    connect_s: float = 10.0
    silence_s: float = 300.0
    pool_s: float = 30.0


DEFAULT_TIMEOUTS = Timeouts()


class OpenAIAccess:
    """One server for any number of models: they share its connections, which are opened when first needed.

    Args:
        api_key: Sent as bearer token.
        base_url: Ends in `/v1`, as a rule.
        timeouts: Limits of one request.
        keeps_connections: Whether a request may travel on the connection of an earlier one.
    """

    def __init__(
        self,
        *,
        api_key: SecretStr,
        base_url: str = OPENAI_URL,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        keeps_connections: bool = True,
    ) -> None:
        self.api_key = api_key
        self.base_url = base_url
        self._timeouts = timeouts
        self._keeps_connections = keeps_connections
        self._http: openai.DefaultAsyncHttpxClient | None = None
        self._client: openai.AsyncOpenAI | None = None

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI itself, one of its regions, or Azure's, and not a merely compatible server."""
        host = f".{urlsplit(self.base_url).hostname or ''}"
        return host.endswith((".api.openai.com", ".openai.azure.com"))

    @property
    def client(self) -> openai.AsyncOpenAI:
        """OpenAI's client. It never retries on its own: retries are counted and logged in one place, `retry.py`."""
        import openai  # noqa: PLC0415 - 0.5 s, paid by the first task that needs it

        if self._client is None:
            self._client = openai.AsyncOpenAI(
                api_key=self.api_key.get_secret_value(),
                base_url=self.base_url,
                max_retries=0,
                timeout=self.timeout,
                http_client=self.http,
            )
        return self._client

    @property
    def http(self) -> openai.DefaultAsyncHttpxClient:
        """The HTTP client below: it uses the environment's proxies, except towards this machine itself."""
        import openai  # noqa: PLC0415

        if self._http is None:
            self._http = openai.DefaultAsyncHttpxClient(
                base_url=self.base_url,
                timeout=self.timeout,
                trust_env=not is_loopback(urlsplit(self.base_url).hostname),
                headers=None if self._keeps_connections else {"Connection": "close"},
            )
        return self._http

    @property
    def timeout(self) -> openai.Timeout:
        """The limits as OpenAI's client takes them; `silence_s` counts in both directions."""
        import openai  # noqa: PLC0415

        limits = self._timeouts
        return openai.Timeout(
            connect=limits.connect_s, read=limits.silence_s, write=limits.silence_s, pool=limits.pool_s
        )

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()

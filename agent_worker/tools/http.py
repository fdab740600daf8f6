"""An HTTP endpoint as a tool: `POST {"tool", "arguments"}`, and the JSON of a 2xx answer is the result."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from agent_worker.domain.errors import is_transient_status
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.tools.registry import MAX_RESULT_BYTES, ToolError


class HttpTool:
    """Ask an address that the operator has configured; redirects are not followed.

    The header `Idempotency-Key` is the same each time a call is repeated
    (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).

    Args:
        name: The name that definitions use.
        url: `http` or `https`.
        headers: Sent with each call, such as `Authorization`.
        timeout_s: Limit of each silence.
    """

    def __init__(
        self, name: str, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> None:
        self._name = name
        self._url = url
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """The name that definitions use."""
        return self._name

    @property
    def parameters(self) -> None:
        """Unknown here; the definition says it."""
        return

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        """Post the arguments and return the answer; an empty answer is null.

        Raises:
            ToolError: No answer, no JSON, a status outside 2xx, or too much.
        """
        headers = {
            "content-type": "application/json",
            **self._headers,
            "Idempotency-Key": idempotency_key,
        }
        body = dump_json({"tool": self._name, "arguments": arguments})
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout_s) as client,
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                content = await self._read(response)
        except httpx.HTTPError as error:
            raise ToolError(f"The tool {self._name!r} did not answer.") from error
        if not response.is_success:
            raise ToolError(
                f"The tool {self._name!r} answered with HTTP {response.status_code}.",
                retryable=is_transient_status(response.status_code),
            )
        return self._parse(content)

    async def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > MAX_RESULT_BYTES:
                raise ToolError(
                    f"The tool {self._name!r} answered with more than {MAX_RESULT_BYTES:,} bytes.",
                    retryable=False,
                )
        return bytes(content)

    def _parse(self, content: bytes) -> JsonValue:
        if not content:
            return None
        try:
            value: JsonValue = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ToolError(f"The tool {self._name!r} answered with something that is no JSON.") from error
        return value

"""Pictures by `openai/<model>`: OpenAI, and every server that speaks its `images/generations` and `images/edits`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

from agent_worker.domain.chat import Usage
from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.domain.images import ImageRequest, Picture
from agent_worker.llm import upstream
from agent_worker.llm.openai_access import OpenAIAccess
from agent_worker.llm.openai_errors import translate

if TYPE_CHECKING:
    from openai.types import ImagesResponse

MAX_PICTURE_BYTES = 5 * 1024 * 1024
"""Largest picture that is kept in a `data:` address: it is stored with the task, and sent in its events."""

MAX_REFERENCES = 16
"""https://platform.openai.com/docs/api-reference/images/createEdit"""

_PROVIDER = "openai"
_SIDE = 1024
_STEP = 16
_LONGEST_SIDE, _MOST_PIXELS = 3840, 3840 * 2160
_WIDEST = 3.0
_RESOLUTIONS = {"1K": 1, "2K": 2, "4K": 4}
_STANDARD = {("1:1", "1K"): "1024x1024", ("3:2", "1K"): "1536x1024", ("2:3", "1K"): "1024x1536"}
"""What every model takes; the others take newer ones alone."""


class OpenAIImages:
    """Makes pictures behind an OpenAI-compatible server.

    Args:
        access: Finds the server when it is needed; raises `missing_key`.
    """

    def __init__(self, access: Callable[[], OpenAIAccess]) -> None:
        self._access = access

    async def generate(self, model: str, request: ImageRequest) -> Picture:
        """Make a picture, or change those that are given.

        Raises:
            UpstreamError: The server refused or broke, or sent no picture.
            ProcessorError: The model is another provider's (code `unknown_model`), there is no key for it
                (`missing_key`), no credit left (`quota_exceeded`), or the request is not right (`invalid_setting`).
        """
        import openai  # noqa: PLC0415 - 0.5 s, paid by the first task that needs it

        provider, _, name = model.partition("/")
        if provider != _PROVIDER or not name:
            raise ProcessorError(
                f"Pictures are made by openai/… here, not by {model[:80]!r}.",
                code="unknown_model",
                retryable=False,
            )
        access, size = self._access(), pixels(request)
        try:
            answer = await self._ask(access, name, request, size)
        except (openai.APIError, json.JSONDecodeError) as error:
            raise translate(_PROVIDER, error) from error
        return await asyncio.to_thread(_picture, answer)

    async def _ask(
        self, access: OpenAIAccess, name: str, request: ImageRequest, size: str | None
    ) -> ImagesResponse:
        from openai import omit  # noqa: PLC0415

        from agent_worker.llm.references import fetch  # noqa: PLC0415 - brings an HTTP client

        headers = {"Idempotency-Key": request.idempotency_key}
        images = access.client.images
        wanted = omit if size is None else size
        if not request.references:
            return await images.generate(
                model=name, prompt=request.prompt, n=1, size=wanted, extra_headers=headers
            )
        if len(request.references) > MAX_REFERENCES:
            raise _wrong(
                f"There are {len(request.references)} reference images; {MAX_REFERENCES} are possible."
            )
        given = [await fetch(each, trusted=access.base_url) for each in request.references]
        files = [
            (f"{index}.{kind.partition('/')[2]}", data, kind) for index, (data, kind) in enumerate(given)
        ]
        return await images.edit(
            model=name, prompt=request.prompt, image=files, n=1, size=wanted, extra_headers=headers
        )


def pixels(request: ImageRequest) -> str | None:
    """Return width and height as `1024x1024`; None when nothing is asked for.

    Without a resolution a picture has about as many pixels as a square of 1024; 2K and 4K have 4 and 16 times as many,
    within what OpenAI makes: 3840 × 2160, sides divisible by 16.

    Raises:
        ProcessorError: What is asked for cannot be read, or is more than 3 times as wide as high, or the reverse (code
            `invalid_setting`).
    """
    if request.size is not None:
        return request.size
    if request.aspect_ratio is None and request.resolution is None:
        return None
    asked, resolution = request.aspect_ratio or "1:1", (request.resolution or "1K").upper()
    if resolution not in _RESOLUTIONS:
        raise _wrong(f"resolution cannot be {request.resolution!r}; it is 1K, 2K or 4K.")
    if (asked, resolution) in _STANDARD:
        return _STANDARD[asked, resolution]
    ratio = _ratio(asked)
    if ratio is None or not 1 / _WIDEST <= ratio <= _WIDEST:
        raise _wrong(f"aspectRatio cannot be {asked!r}; it is like 16:9, at most 3:1.")
    area = min((_SIDE * _RESOLUTIONS[resolution]) ** 2, _MOST_PIXELS)
    width, height = sqrt(area * ratio), sqrt(area / ratio)
    shrink = min(1.0, _LONGEST_SIDE / max(width, height))
    return "x".join(str(int(side * shrink) // _STEP * _STEP) for side in (width, height))


def _ratio(text: str) -> float | None:
    width, _, height = text.partition(":")
    try:
        return float(width) / float(height)
    except (ValueError, ZeroDivisionError):
        return None


def _picture(answer: ImagesResponse) -> Picture:
    found = answer.data[0] if answer.data else None
    usage = _usage(answer)
    if found is not None and found.url:
        return Picture(found.url, f"image/{answer.output_format or 'png'}", usage)
    if found is None or not found.b64_json:
        raise upstream.broken(_PROVIDER)
    if len(found.b64_json) > MAX_PICTURE_BYTES * 4 // 3 + 4:
        raise ProcessorError(
            f"The picture has more than {MAX_PICTURE_BYTES:,} bytes.",
            code="upstream_refused",
            retryable=False,
        )
    try:
        data = base64.b64decode(found.b64_json, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UpstreamError(f"{_PROVIDER} sent a picture that cannot be read.", provider=_PROVIDER) from error
    kind = media_type(data)
    return Picture(f"data:{kind};base64,{found.b64_json}", kind, usage)


def media_type(data: bytes) -> str:
    """Tell a picture's type by its first bytes; PNG when they say nothing."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if data.startswith(b"GIF8") else "image/png"


def _usage(answer: ImagesResponse) -> Usage:
    used = answer.usage
    if used is None:
        return Usage()
    details = used.output_tokens_details
    return Usage(
        used.input_tokens,
        used.output_tokens,
        input_image_tokens=used.input_tokens_details.image_tokens,
        output_image_tokens=used.output_tokens if details is None else details.image_tokens,
    )


def _wrong(message: str) -> ProcessorError:
    return ProcessorError(message, code="invalid_setting", retryable=False)

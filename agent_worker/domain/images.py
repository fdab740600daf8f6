"""The port of pictures: what the product asks of a provider that makes them, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from agent_worker.domain.chat import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """A picture to be made. None leaves a choice to the provider.

    Attributes:
        prompt: What it should show.
        aspect_ratio: Such as `16:9`.
        resolution: `1K`, `2K` or `4K`.
        size: Pixels such as `1024x1024`, instead of both.
        references: Addresses of pictures to start from; `data:` ones hold the picture.
        idempotency_key: The same each time the request is repeated.
    """

    prompt: str
    aspect_ratio: str | None = None
    resolution: str | None = None
    size: str | None = None
    references: tuple[str, ...] = ()
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        url: Where it is: the provider's address, which may end soon, or a `data:` one that holds it.
        media_type: Such as `image/png`.
        usage: Tokens, zero where the provider does not say.
    """

    url: str
    media_type: str = "image/png"
    usage: Usage = field(default_factory=Usage)


class ImageMaker(Protocol):
    """Providers of pictures."""

    async def generate(self, model: str, request: ImageRequest) -> Picture:
        """Make a picture.

        Args:
            model: `provider/model`.
            request: What it should be.

        Raises:
            UpstreamError: The provider refused or broke.
            ProcessorError: There is no such model (code `unknown_model`), no key for it (`missing_key`), or the request
                is not one that it takes (`invalid_setting`).
        """
        ...

"""What a call of a model costs, by a price list that comes with the package genai-prices and is never fetched."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from agent_worker.domain.chat import Usage

_FREE = ("echo/", "local/")
"""Providers that bill nobody."""

_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "langchain-openai": "openai",
        "azure_ai": "azure",
        "azure_openai": "azure",
        "bedrock": "aws",
        "bedrock_converse": "aws",
        "google_genai": "google",
        "google_vertexai": "google",
        "mistralai": "mistral",
        "xai": "x-ai",
    }
)
"""Our name → the list's, where they differ."""


def has_prices() -> bool:
    """Tell whether the list is installed, without importing it."""
    return find_spec("genai_prices") is not None


def price(model_id: str, tokens: Usage) -> float | None:
    """Return US dollars; None when the list has no such model, or is not installed.

    `openai/…` costs what OpenAI takes, also when another server answers. Tokens that the provider had in its cache cost
    what it takes for those.

    Args:
        model_id: `provider/model`.
        tokens: What was used; with none of them, it tells whether the price is known.
    """
    if model_id.startswith(_FREE):
        return 0.0
    if not has_prices():
        return None
    import genai_prices  # noqa: PLC0415 - 0.1 s and 14 MiB, paid by the first task that wants a price

    provider, _, model = model_id.partition("/")
    used = genai_prices.Usage(
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        **_parts(tokens),
    )
    try:
        found = genai_prices.calc_price(used, model, provider_id=_PROVIDERS.get(provider, provider))
    except LookupError:
        return None
    return float(found.total_price)


def _parts(tokens: Usage) -> dict[str, int]:
    """Return what is billed apart, where there is some."""
    parts = {
        "cache_read_tokens": min(tokens.cached_tokens, tokens.input_tokens),
        "input_image_tokens": min(tokens.input_image_tokens, tokens.input_tokens),
        "output_image_tokens": min(tokens.output_image_tokens, tokens.output_tokens),
    }
    return {name: count for name, count in parts.items() if count}

"""What calls cost, by the list that is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent_worker.domain.chat import Usage
from agent_worker.llm.prices import price

MILLION = Usage(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-5.4-mini",
        "langchain-openai/gpt-5.4-mini",
        "anthropic/claude-sonnet-5",
        "google_genai/gemini-2.5-flash",
        "mistralai/mistral-large-latest",
    ],
)
def test_models_of_many_providers_have_a_price(model: str) -> None:
    found = price(model, MILLION)
    assert found is not None
    assert found > 0
    assert price(model, Usage()) == 0


def test_what_the_provider_had_in_its_cache_costs_less() -> None:
    cached = price("openai/gpt-5.4-mini", Usage(1000, 0, cached_tokens=900))
    assert 0 < (cached or 0) < (price("openai/gpt-5.4-mini", Usage(1000, 0)) or 0)


def test_a_drawn_token_is_billed_as_one() -> None:
    text = price("openai/gpt-image-1.5", Usage(0, 1000)) or 0
    drawn = price("openai/gpt-image-1.5", Usage(0, 1000, output_image_tokens=1000)) or 0
    assert drawn > text > 0
    # A list that knows no price of its own for pictures takes that of the rest.
    assert price("openai/gpt-image-2", Usage(0, 1000, output_image_tokens=1000)) == pytest.approx(0.03)


@pytest.mark.parametrize("model", ["openai/no-such-model", "nobody/model", "openai/"])
def test_an_unknown_model_has_no_price(model: str) -> None:
    assert price(model, MILLION) is None


@pytest.mark.parametrize("model", ["echo/echo", "local/smollm2-135m"])
def test_models_of_this_machine_cost_nothing_and_need_no_list(model: str) -> None:
    script = f"""
import sys
from agent_worker.domain.chat import Usage
from agent_worker.llm.prices import price
assert price({model!r}, Usage(5, 5)) == 0
assert "genai_prices" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_counts_that_contradict_each_other_still_have_a_price() -> None:
    assert price("openai/gpt-5.4-mini", Usage(10, 0, cached_tokens=50)) is not None

"""JSON as PostgreSQL can store it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.json import dump_json, find_nul

TEXT = st.text(alphabet=st.characters(codec=None, categories=None))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


def mended(text: str) -> str:
    """What the docstring promises, written the slow way."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\x00", "\ufffd")


@given(TEXT)
def test_text_comes_out_with_the_replacement_character_in_place_of_what_postgres_refuses(text: str) -> None:
    stored = json.loads(dump_json(text))
    assert "\x00" not in stored
    stored.encode()  # holds no lone surrogate
    assert stored == mended(text)


@given(JSON)
def test_whatever_goes_in_is_valid_json_without_nul(value: object) -> None:
    text = dump_json(value)  # type: ignore[arg-type]
    json.loads(text).__class__  # noqa: B018 - parses
    assert find_nul(json.loads(text)) is None


def test_a_backslash_before_u0000_is_text_and_stays() -> None:
    assert json.loads(dump_json("\\u0000")) == "\\u0000"


@pytest.mark.parametrize("piece", ["x", "\\", "\\u0000"])
def test_a_long_text_is_mended_before_the_transaction_that_stores_it_times_out(piece: str) -> None:
    """It holds up every task of its worker: at a microsecond a character, 16 MiB would for ever."""
    began = time.process_time()
    assert json.loads(dump_json("\x00" + piece * 2_000_000)) == "\ufffd" + piece * 2_000_000
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_without_a_json_form_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"value": value})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"prompt": "a\x00b"}, "$.prompt"),
        ({"messages": [{"content": "ok"}, {"content": "\x00"}]}, "$.messages[1].content"),
        ({"bad\x00key": 1}, "$"),
        ({"fine": ["x", 1, None]}, None),
    ],
)
def test_nul_is_found_with_its_path(value: object, path: str | None) -> None:
    assert find_nul(value) == path  # type: ignore[arg-type]

"""Conditions and durations: two grammars of one line each."""

from __future__ import annotations

import pytest

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.conditions import Condition, as_text, parse_condition
from agent_worker.pipelines.durations import parse_duration, write_duration


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("DONE", Condition("DONE")),
        (" !DONE ", Condition("DONE", "false")),
        ('KIND == "a b"', Condition("KIND", "equal", "a b")),
        ('KIND!="x"', Condition("KIND", "different", "x")),
        ("KIND == 'it \"is\"'", Condition("KIND", "equal", 'it "is"')),
        ('KIND == ""', Condition("KIND", "equal", "")),
        ("done", None),
        ("", None),
        ("A and B", None),
        ("KIND == x", None),
        ('KIND = "x"', None),
        ('!KIND == "x"', None),
        ("A" * 5000, None),
    ],
)
def test_conditions_are_read(text: str, condition: Condition | None) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize("value", [None, False, "", "false", "0", 0])
def test_nothing_and_its_texts_count_as_false(value: JsonValue) -> None:
    assert not Condition("A").holds({"A": value})
    assert Condition("A", "false").holds({"A": value})
    assert not Condition("A").holds({})


@pytest.mark.parametrize("value", [True, "no", "False", " ", 1, -1, [], {}, "NONE"])
def test_everything_else_counts_as_true(value: JsonValue) -> None:
    assert Condition("A").holds({"A": value})


def test_equality_compares_texts_and_minds_case() -> None:
    assert Condition("A", "equal", "3").holds({"A": 3.0})
    assert Condition("A", "equal", "true").holds({"A": True})
    assert Condition("A", "different", "yes").holds({"A": "Yes"})
    assert Condition("A", "equal", "").holds({})


def test_objects_are_shown_as_indented_json() -> None:
    assert as_text({"a": ["ü"]}) == '{\n  "a": [\n    "ü"\n  ]\n}'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("500ms", 0.5), ("5m", 300.0), ("1h30m", 5400.0), ("2d", 172_800.0), ("1.5h", 5400.0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 m", "30m1h", "1s1s", "-5s", "1.s", "5x", "9" * 100 + "s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


def test_durations_are_written_as_they_are_read() -> None:
    assert [write_duration(each) for each in (0, 0.25, 90, 3600, 90_061)] == [
        "0s",
        "250ms",
        "1m30s",
        "1h",
        "1d1h1m1s",
    ]

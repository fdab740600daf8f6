"""Documents mean what YAML 1.2 says, and hostile ones are refused cheaply."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_worker.pipelines.reading.nodes import line_of, plain
from agent_worker.pipelines.reading.yaml import MAX_BYTES, YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("16:9", "16:9"),
        ("1:1", "1:1"),
        ("2024-01-01", "2024-01-01"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("true", True),
        ("TRUE", True),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ("!!str 12", "12"),
        ("<<", "<<"),
        ("0.1.2", "0.1.2"),
        ("claude-3.5", "claude-3.5"),
        ("+", "+"),
        (".", "."),
        ("-", [None]),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    node, mistakes = read_yaml(f"a:\n  {text}\n")
    assert plain(node) == {"a": value}
    assert type(plain(node)["a"]) is type(value)
    assert mistakes == []


def test_keys_stay_texts_in_the_order_of_the_document() -> None:
    node, _ = read_yaml("on: 1\nyes: 2\n16:9: 3\n010: 4\nnull: 5\n")
    assert list(plain(node)) == ["on", "yes", "16:9", "010", "null"]


def test_a_key_that_comes_twice_is_a_mistake_with_its_line_and_the_first_one_counts() -> None:
    node, mistakes = read_yaml("a: 1\nb: 2\na: 3\n")
    assert plain(node) == {"a": 1, "b": 2}
    assert [(each.line, each.message) for each in mistakes] == [
        (3, "the key 'a' comes twice; it stands in line 1 already")
    ]


def test_every_place_knows_its_line() -> None:
    node, _ = read_yaml("# first\nsteps:\n  Ask:\n    input:\n      - A\n      - B: C\n")
    assert line_of(node, ("steps",)) == 2
    assert line_of(node, ("steps", "Ask")) == 3
    assert line_of(node, ("steps", "Ask", "input", 1, "B")) == 6
    assert line_of(node, ("steps", "Ask", "missing", "deeper")) == 3


def test_aliases_are_what_they_stand_for() -> None:
    node, _ = read_yaml("a: &x {k: [1]}\nb: *x\n")
    assert plain(node) == {"a": {"k": [1]}, "b": {"k": [1]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "YAML"),
        ("a: [1", "YAML"),
        ("\ta: 1", "YAML"),
        ("a: *nobody", "no anchor 'nobody'"),
        ("a: &x [*x]", "no anchor 'x'"),
        ("? [1]\n: 2", "a key must be a single word"),
        ("--- a\n--- b", "second document"),
        ("%YAML 1.1\n---\na: yes", "YAML 1.2"),
        ("a: .nan", "cannot be written as JSON"),
        ("a: -.inf", "cannot be written as JSON"),
        ("a: 1e999", "too large"),
        ("a: 99999999999999999999", "too large"),
        (f"a: {'9' * 5000}", "cannot be written as JSON"),
        ("a: \x00", "YAML"),
        ("a: '\ud800'", "YAML"),
        ("", "empty"),
        ("# nothing", "empty"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    assert message in caught.value.message


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml("a: 1\nb: 2\nc: [\n")
    assert caught.value.line is not None
    assert caught.value.line >= 3


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join(f'*{old}' for _ in range(9))}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "[" * 100_000,
        "{" * 100_000,
        "- " * 100_000,
        "&a " * 50_000,
        "[" + "a, " * 200_000 + "]",
        "\n".join(f"{' ' * depth}a:" for depth in range(800)),
        "&a [&b [*a]]\n",
        "a" * (MAX_BYTES + 1),
    ],
    ids=["aliases", "lists", "mappings", "dashes", "anchors", "wide", "deep", "circle", "large"],
)
def test_bombs_are_refused_in_little_time(text: str) -> None:
    """Without bounds these take minutes, all memory, or the stack."""
    begin = time.process_time()
    with pytest.raises(YamlError):
        read_yaml(text)
    assert time.process_time() - begin < 20


@settings(deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@#?, \n\t0179.\\x~eEu\x85\u2028\ud800"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        node, _ = read_yaml(text)
    except YamlError:
        return
    plain(node)

"""Prompts show what they are given and nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.definition.declarations import Dialect
from agent_worker.pipelines.prompts.includes import check_includes
from agent_worker.pipelines.prompts.parse import MAX_DEPTH, parse_template
from agent_worker.pipelines.prompts.render import MAX_INCLUDE_DEPTH, render


def shown(
    text: str, dialect: Dialect = "2.3", prompts: dict[str, str] | None = None, **values: JsonValue
) -> str:
    templates = {name: parse_template(each) for name, each in {**(prompts or {}), "main": text}.items()}
    assert not [each for template in templates.values() for each in template.mistakes if each.is_error]
    return render("main", values, prompts=templates, dialect=dialect)


def mistakes(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.message) for each in parse_template(text).mistakes]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Hello {{NAME}}!", "Hello Ada!"),
        ("{{NAME}}{{NAME}}", "AdaAda"),
        ("{{{NAME}}}", "{Ada}"),
        ("{{ NAME }}", "{{ NAME }}"),
        ("{{name}}", "{{name}}"),
        ("{{NAME.first}}", "{{NAME.first}}"),
        ("{{NAME", "{{NAME"),
        ("NAME}}", "NAME}}"),
        ("{{x {{NAME}}", "{{x Ada"),
        ("{{}}", "{{}}"),
        ("a {{FACTS}}", 'a {\n  "n": 1\n}'),
        ("{{COUNT}} {{FLAG}} {{GONE}}.", "3 true ."),
    ],
)
def test_variables_are_put_in(text: str, result: str) -> None:
    assert shown(text, NAME="Ada", FACTS={"n": 1}, COUNT=3, FLAG=True, GONE=None) == result


def test_the_dialect_decides_about_variables_that_nobody_gives() -> None:
    assert shown("a {{B}} c", "2.3") == "a  c"
    assert shown("a {{B}} c", "2.11") == "a {{B}} c"


def test_values_are_never_read_as_prompts() -> None:
    """Otherwise a user could bring in other variables and files."""
    evil = "{{SECRET}} {{@other.md}} {{#if A}}"
    assert shown("{{TEXT}}", prompts={"other": "x"}, TEXT=evil, SECRET="key") == evil


@pytest.mark.parametrize(
    ("kind", "result"), [("a", "1\nA\n2\n"), ("b", "1\nB\n2\n"), ("c", "1\nC\n2\n"), (None, "1\nC\n2\n")]
)
def test_the_first_case_that_holds_is_shown_and_lines_of_tags_vanish(kind: str | None, result: str) -> None:
    text = '1\n{{#if KIND == "a"}}\nA\n{{else if KIND == "b"}}\nB\n  {{else}}\nC\n{{/if}}  \n2\n'
    assert shown(text, KIND=kind) == result


def test_conditionals_stand_inside_lines_and_each_other() -> None:
    text = "{{#if A}}a{{#if !B}}, no b{{/if}}{{else}}nothing{{/if}}."
    assert shown(text, A=True) == "a, no b."
    assert shown(text, A="x", B="x") == "a."
    assert shown(text) == "nothing."


def test_conditionals_with_nothing_in_them_leave_nothing() -> None:
    assert shown("{{#if A}}\n{{/if}}\nx", A=True) == "x"
    assert shown("{{#if A}}\n{{#if B}}\n{{/if}}\n{{/if}}", A=True) == ""


def test_includes_bring_in_other_prompts_with_their_variables() -> None:
    prompts = {"shared/tone": "Be {{TONE}}.", "both": "{{@shared/tone.md}} {{@shared/tone.md}}"}
    assert shown("x {{@both.md}}", prompts=prompts, TONE="kind") == "x Be kind. Be kind."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n{{#if A}}\nb", [(2, "{{#if}} has no {{/if}}")]),
        ("a\n\n{{/if}}", [(3, "{{/if}} has no {{#if}} before it")]),
        ("{{else}}", [(1, "{{else}} has no {{#if}} before it")]),
        ("{{#if A}}{{else}}{{else}}{{/if}}", [(1, "{{else}} cannot come after {{else}}")]),
        ("{{#if A}}{{else}}{{else if B}}{{/if}}", [(1, "{{else if B}} cannot come after {{else}}")]),
        (
            "{{#if a}}{{/if}}",
            [(1, 'this is no condition; write NAME, !NAME, NAME == "text" or NAME != "text"')],
        ),
        ("{{@tone}}", [(1, "an include names a file, such as {{@shared/tone.md}}")]),
        ("{{ NAME }}", [(1, "{{ NAME }} is text, because of the blanks; write {{NAME}}")]),
    ],
)
def test_mistakes_are_noted_with_their_lines(text: str, expected: list[tuple[int, str]]) -> None:
    assert mistakes(text) == expected


def test_deep_nesting_is_one_mistake() -> None:
    text = "{{#if A}}" * 5000 + "{{/if}}" * 5000
    assert [message for _, message in mistakes(text)] == [f"{{{{#if}}}} is nested more than {MAX_DEPTH} deep"]


def test_includes_that_lead_nowhere_or_in_a_circle_are_found() -> None:
    texts = {
        "a": "x\n{{@b.md}}",
        "b": "{{@c.md}}",
        "c": "{{@a.md}}",
        "d": "{{@nowhere.md}}",
        "e": "{{@e.md}}",
    }
    found = check_includes({name: parse_template(text) for name, text in texts.items()})
    assert [(each.prompt, each.message) for each in found] == [
        ("d", "there is no prompt 'nowhere'; there is a, b, c, d, e"),
        ("c", "includes go in a circle: a → b → c → a"),
        ("e", "includes go in a circle: e → e"),
    ]


def test_a_long_chain_of_includes_is_refused_without_recursion() -> None:
    texts = {f"p{n}": f"{{{{@p{n + 1}.md}}}}" for n in range(5000)} | {"p5000": ""}
    found = check_includes({name: parse_template(text) for name, text in texts.items()})
    assert f"longer than {MAX_INCLUDE_DEPTH}" in found[0].message


@pytest.mark.parametrize("last", ["", "x" * 1000])
def test_prompts_that_multiply_are_refused(last: str) -> None:
    """Ten includes of ten includes …: the texts are small, what they come to is not."""
    prompts = {f"p{n}": f"{{{{@p{n + 1}.md}}}}" * 10 for n in range(15)} | {"p15": last}
    with pytest.raises(ProcessorError) as caught:
        shown("{{@p0.md}}", prompts=prompts)
    assert (caught.value.code, caught.value.retryable) == ("prompt_too_large", False)


@pytest.mark.parametrize(
    "text",
    ["{" * 400_000, "{{" * 200_000 + "}}", "}}" * 200_000, "{{#if A}}x{{/if}}" * 30_000, " " * 400_000 + "{{/if}}",
     "{{#if A}}\n \n{{/if}}\n" * 20_000, "{{" + " " * 400_000 + "}}"],
    ids=["braces", "opened", "closed", "one line", "blanks", "lines", "wide"],
)  # fmt: skip
def test_reading_takes_linear_time(text: str) -> None:
    """Each of these takes minutes when text is looked at again for every brace."""
    begin = time.process_time()
    parse_template(text)
    assert time.process_time() - begin < 10


PIECES = st.sampled_from(
    [
        "{{NAME}}",
        "{{#if NAME}}",
        "{{else}}",
        "{{else if A}}",
        "{{/if}}",
        "{{@a.md}}",
        "{{",
        "}}",
        "\n",
        " ",
        "x",
        "{",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_is_read_and_is_shown_when_there_is_no_mistake(text: str) -> None:
    template = parse_template(text)
    if not any(each.is_error for each in template.mistakes):
        render("main", {"NAME": "x"}, prompts={"main": template, "a": parse_template("i")}, dialect="2.11")


@given(st.text())
def test_text_without_braces_is_shown_as_it_is(text: str) -> None:
    plain = text.replace("{", "").replace("}", "")
    assert shown(plain) == plain


@given(st.text())
def test_a_value_is_shown_as_it_is(value: str) -> None:
    assert shown("<{{NAME}}>", NAME=value) == f"<{value}>"

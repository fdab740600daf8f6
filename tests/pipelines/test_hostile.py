"""Whatever comes in, a report comes out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_worker.pipelines.definition.steps import walk
from agent_worker.pipelines.prompts.render import render
from agent_worker.pipelines.reading.source import Source
from agent_worker.pipelines.reading.steps import KINDS
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.validation import Validation, validate

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(),
    st.sampled_from(
        [
            "",
            "A",
            "TOPIC",
            "string",
            "T",
            "T[]",
            "main",
            "ask",
            "echo/echo",
            "off",
            "5s",
            "20%",
            "goto B",
            "!A",
            "é\ud800",
        ]
    ),
)
FIELDS = st.sampled_from(
    [
        "input",
        "variables",
        "resources",
        "types",
        "tools",
        "skills",
        "mcpServers",
        "workers",
        "steps",
        "output",
        "triggers",
        "handlers",
        "agent",
        "limits",
        "dialect",
        "block",
        "thread",
        "model",
        "system",
        "prompt",
        "role",
        "tool",
        "value",
        "cases",
        "default",
        "in",
        "as",
        "steps",
        "branches",
        "until",
        "condition",
        "then",
        "else",
        "for",
        "retry",
        "attempts",
        "delay",
        "timeout",
        "onError",
        "goto",
        "if",
        "display",
        "title",
        "type",
        "items",
        "enum",
        "const",
        "anyOf",
        "discriminator",
        "optional",
        "form",
        "description",
        "parameters",
        "anthropic",
        "contextManagement",
        "files",
        "collect",
        "concurrency",
        "tolerateFailures",
        "responseType",
        "A",
        "B",
        "T",
        "ask",
        "onDemandSkills",
        "maxCost",
        "source",
        "display",
    ]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(FIELDS, inner, max_size=6)),
    max_leaves=40,
)
BLOCKS = st.fixed_dictionaries({"block": st.sampled_from(sorted(KINDS))}).flatmap(
    lambda block: st.dictionaries(FIELDS, JSON, max_size=8).map(lambda fields: {**fields, **block})
)
DOCUMENTS = st.fixed_dictionaries(
    {"steps": st.dictionaries(st.sampled_from("ABCD"), BLOCKS, max_size=4)},
    optional={
        "input": st.fixed_dictionaries({"TOPIC": st.just({"type": "string"})}),
        "variables": st.dictionaries(st.sampled_from(["A", "B"]), JSON, max_size=2),
        "types": st.dictionaries(st.sampled_from(["T", "U"]), JSON, max_size=2),
        "tools": JSON,
        "agent": JSON,
        "handlers": JSON,
    },
)


def check(validation: Validation) -> None:
    assert validation.report.valid is (validation.definition is not None)
    json.dumps(validation.report.as_json())
    assert all(each.line is None or each.line >= 1 for each in validation.report.errors)
    if validation.definition is not None:
        for block in validation.definition.blocks():
            assert block.key
        for name in validation.definition.prompts:
            render(name, {}, prompts=validation.definition.prompts, dialect=validation.definition.dialect)


def body(protocol: str, form: object) -> dict[str, Any]:
    prompts = [{"name": "ask", "content": "{{TOPIC}}"}]
    return {"settings": {"slug": "a", "name": "a", "format": form}, "protocol": protocol, "prompts": prompts}


@RELAXED
@given(JSON)
def test_any_body_gets_a_report(value: Any) -> None:
    check(validate(read_wire(value)))


@RELAXED
@given(DOCUMENTS | JSON, st.sampled_from(["worker", "interactive", None]))
def test_any_document_gets_a_report(document: Any, form: object) -> None:
    check(validate(read_wire(body(json.dumps(document), form))))


@RELAXED
@given(st.text(), st.text(), st.text())
def test_any_text_gets_a_report(protocol: str, name: str, content: str) -> None:
    check(validate(Source({"slug": "a"}, protocol, {name: content})))


@pytest.mark.parametrize(
    "protocol",
    [
        "steps:\n"
        + "".join(f"  S{n}: {{block: add-message, input: [V{n}], x{n}: V{n}}}\n" for n in range(5000)),
        "variables:\n" + "".join(f"  V{n}: {{type: T{n}}}\n" for n in range(12_000)),
        "types:\n"
        + "".join(f"  T{n}: {{a: {{type: T{n + 1}}}, b: {{type: T{n + 1}}}}}\n" for n in range(5000)),
        "types:\n" + "".join(f"  T{n}: {{a: {{type: T{(n + 1) % 5000}}}}}\n" for n in range(5000)),
        f"steps: {{{'x' * 500_000}: {{block: {'y' * 400_000}}}}}",
        "steps:\n" + "".join(f"{' ' * (2 * d)}S: {{block: if, then:\n" for d in range(30)),
    ],
    ids=["unknown names", "unknown types", "deep types", "circle of types", "long names", "unfinished"],
)
def test_hostile_documents_take_seconds_at_most(protocol: str) -> None:
    begin = time.process_time()
    validation = validate(read_wire(body(protocol, "worker")))
    assert not validation.report.valid
    assert time.process_time() - begin < 20


def test_steps_nest_as_deep_as_documents_do() -> None:
    inner: Any = {"W": {"block": "wait", "for": "1s"}}
    for _ in range(12):
        inner = {"S": {"block": "repeat", "maxIterations": 2, "steps": inner}}
    validation = validate(read_wire(body(json.dumps({"steps": inner}), "worker")))
    assert validation.definition is not None
    assert len(list(walk(validation.definition.steps))) == 13

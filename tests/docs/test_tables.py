"""What the pages list is what the code has: no more, no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from agent_worker.domain.errors import is_transient_status, upstream_code
from agent_worker.domain.task import ALLOWED, TaskStatus
from agent_worker.registry import processor_classes, settings_class
from agent_worker.settings import Settings, env_names
from agent_worker.telemetry import Metrics
from tests.docs.pages import PAGES, ROOT, blocks, inline_code, links, name_of, prose, rows

PACKAGE = ROOT / "agent_worker"
OPERATE = ROOT / "docs" / "operate.md"
STATES = ROOT / "docs" / "states.md"
ERRORS = ROOT / "docs" / "errors.md"
GATEWAY = ROOT / "docs" / "gateway.md"


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def calls() -> Iterator[ast.Call]:
    for _, tree in sources():
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def text_of(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# States


def allowed() -> set[tuple[str, str]]:
    return {(before.value, after.value) for before, afters in ALLOWED.items() for after in afters}


def test_state_table_lists_exactly_the_allowed_transitions() -> None:
    listed = {(row[0], row[1]) for row in rows(STATES, heading="from")}
    assert listed == allowed()


def test_state_diagram_draws_exactly_the_allowed_transitions() -> None:
    (diagram,) = (block.text for block in blocks(STATES) if block.language == "mermaid")
    drawn = set(re.findall(r"^  (\w+) --> (\w+): ", diagram, re.MULTILINE))
    assert drawn == allowed()


def test_state_page_explains_every_status() -> None:
    listed = {row[0].strip("`") for row in rows(STATES, heading="status")}
    assert listed == {status.value for status in TaskStatus}


# Metrics, log events, settings


def metrics_in_code() -> set[tuple[str, str]]:
    suffix = {"counter": "_total"}
    found = {
        (metric.name + suffix.get(metric.type, ""), metric.type) for metric in Metrics().registry.collect()
    }
    for call in calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr == "observe" and len(call.args) > 1:
            found.add((f"agent_worker_{text_of(call.args[0])}", "gauge"))
    return found


def test_operate_lists_exactly_the_metrics() -> None:
    listed = {(row[0].strip("`"), row[1]) for row in rows(OPERATE, heading="metric")}
    assert listed == metrics_in_code()


def events_in_code() -> set[tuple[str, str]]:
    levels = {"debug", "info", "warning", "error", "exception"}
    found = set()
    for call in calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in levels and call.args:
            event = text_of(call.args[0])
            if isinstance(call.func.value, ast.Name) and call.func.value.id == "logger" and event:
                level = "error" if call.func.attr == "exception" else call.func.attr
                found.add((event, level))
    return found


def test_operate_lists_exactly_the_log_events() -> None:
    listed = {(row[0].strip("`"), row[1]) for row in rows(OPERATE, heading="event")}
    assert listed == events_in_code()


def test_failure_modes_name_only_log_events_that_exist() -> None:
    page = ROOT / "docs" / "failure-modes.md"
    named = {code for code in inline_code(page) if re.fullmatch(r"[a-z]+\.[a-z_]+", code)}
    assert named <= {event for event, _ in events_in_code()} | {"ctx.step", "ctx.cancelled"}


def test_failure_modes_name_a_test_that_exists_in_every_row() -> None:
    page = ROOT / "docs" / "failure-modes.md"
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"^\s*(?:async )?def (test_\w+)", tests, re.MULTILINE))
    last = [
        line.rstrip("| ").rpartition("| ")[2]
        for line in page.read_text().splitlines()
        if line.startswith("|") and not line.startswith(("|--", "| what "))
    ]
    assert {cell.strip("`") for cell in last} <= existing | {"—"}
    assert sum(cell == "—" for cell in last) < len(last) / 5


def settings_classes() -> Sequence[type[BaseSettings]]:
    of_processors = (settings_class(cls) for cls in processor_classes().values())
    return [Settings, *(cls for cls in of_processors if cls is not None)]


def setting_rows() -> list[list[str]]:
    return [
        [f"`{env_names(cls, name)[0]}`", shown(field.default), str(field.description)]
        for cls in settings_classes()
        for name, field in cls.model_fields.items()
        if cls.__module__.startswith("agent_worker.")
    ]


def shown(default: object) -> str:
    match default:
        case None | () | "":
            return ""
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


def test_operate_lists_exactly_the_settings() -> None:
    assert list(rows(OPERATE, heading="name")) == setting_rows()


def test_readme_settings_are_a_part_of_all_settings() -> None:
    for row in rows(ROOT / "README.md", heading="name"):
        assert row in setting_rows()


# Error codes

INTERNAL = {"child_missing"}
"""What a parent finds in a missing child's place; what clients see is the parent's own code, `child_failed`."""


PROTOCOLS = {"gateway", "security"}
"""Rooms whose codes belong to the protocol they speak, and not to tasks."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def codes_in_code() -> set[str]:
    found = {upstream_code(status) for status in (None, 400, 401, 403, 404, 408, 429, 500)}
    for path, tree in sources():
        if room_of(path) in PROTOCOLS:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in {"code", "late", "withdrawn"}:
                found.add(text_of(node.value) or "")
            if isinstance(node, ast.arg) and node.arg == "code":
                found.update(default_codes(tree))
    return (found | {code for code, _ in codes_in_sql()}) - {""} - INTERNAL


def codes_in_sql() -> Iterator[tuple[str, bool]]:
    for path in (ROOT / "migrations").glob("*.sql"):
        for code, retryable in re.findall(
            r"failure\(.*?'([a-z_]+)', (true|false)\)", path.read_text(), re.DOTALL
        ):
            yield code, retryable == "true"


def default_codes(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg == "code" and (code := text_of(default)):
                    found.add(code)
    return found


def test_error_page_lists_exactly_the_codes() -> None:
    listed = [row[0].strip("`") for row in rows(ERRORS, heading="code")]
    assert set(listed) == codes_in_code()
    assert listed == sorted(listed)


def refusals_in_code() -> Iterator[str]:
    """Codes of the gateway itself and of auth/v1; the other parts have pages of their own."""
    apart = {"rest", "realtime", "agents"}
    for path, tree in sources():
        if room_of(path) in PROTOCOLS and not apart & set(path.relative_to(PACKAGE).parts):
            yield from codes_given(tree)


def codes_given(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code" and (code := text_of(node.value)):
            yield code


def test_gateway_page_lists_exactly_its_codes() -> None:
    listed = [row[0].strip("`") for row in rows(GATEWAY, heading="code")]
    assert sorted(listed) == sorted(set(refusals_in_code()) | {"bad_jwt"})


def test_agents_page_lists_exactly_its_codes() -> None:
    room = PACKAGE / "gateway" / "agents"
    listed = [row[0].strip("`") for row in rows(ROOT / "docs" / "agents-api.md", heading="code")]
    assert listed == sorted(
        {code for path, tree in sources() if path.parent == room for code in codes_given(tree)}
    )


def test_rest_page_lists_exactly_its_codes() -> None:
    found = {
        code
        for path in (PACKAGE / "gateway" / "rest").glob("*.py")
        for code in re.findall(r"PGRST\d+", path.read_text())
    }
    listed = [row[0].strip("`") for row in rows(ROOT / "docs" / "rest.md", heading="code")]
    assert listed == sorted(found)


def retryable_in_code() -> Iterator[tuple[str, bool]]:
    for status in (None, 400, 401, 404, 408, 429, 500):
        yield upstream_code(status), is_transient_status(status)
    for call in calls():
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        code, retryable = text_of(given.get("code")), given.get("retryable")
        if code and isinstance(retryable, ast.Constant):
            yield code, bool(retryable.value)
    yield from codes_in_sql()


def test_error_page_says_what_is_retryable_as_the_code_does() -> None:
    listed = {row[0].strip("`"): row[1] == "yes" for row in rows(ERRORS, heading="code")}
    for code, retryable in retryable_in_code():
        if code in listed:
            assert listed[code] == retryable, code


# All pages


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if not re.match(r"https?:", link):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_named_in_a_page_exist(page: Path) -> None:
    known = {row[0].strip("`") for row in setting_rows()} | {"AGENT_WORKER_TEST_DATABASE_URL"}
    examples = ("AGENT_WORKER_GREET_", "AGENT_WORKER_CSV_REPORT_")
    for name in re.findall(r"\bAGENT_WORKER_[A-Z_]*[A-Z]\b", prose(page)):
        assert name in known or name.startswith(examples), name


def test_readme_fits_a_newcomers_patience() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150

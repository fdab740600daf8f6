"""Definitions come from folders and from request bodies, and mean the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_worker.domain.errors import ConfigurationError
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.pipelines.reading.source import MAX_FILE_BYTES, Source
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.validation import validate
from tests.pipelines.sources import WORKER

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples" / "pipelines").glob("*/protocol.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "settings.json").write_text('{"slug": "a", "name": "A", "format": "worker"}')
    (tmp_path / "protocol.yaml").write_text(WORKER)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "system.md").write_text("You help.")
    (tmp_path / "prompts" / "ask.md").write_text("{{TOPIC}}")
    return tmp_path


def found(source: Source) -> list[tuple[str, int | None, str]]:
    return [(each.file, each.line, each.message) for each in validate(source).report.errors]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid_without_a_warning(example: Path) -> None:
    report = validate(read_folder(example)).report
    assert (report.errors, report.warnings) == ((), ())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_a_folder_and_its_wire_form_are_the_same_definition(example: Path) -> None:
    source = read_folder(example)
    wired = read_wire(json.loads(json.dumps(source.as_json())))
    assert validate(wired).definition == validate(source).definition


def test_prompts_in_folders_have_paths_as_names(folder: Path) -> None:
    (folder / "prompts" / "shared").mkdir()
    (folder / "prompts" / "shared" / "tone.md").write_text("\ufeffBe kind.")
    assert read_folder(folder).prompts["shared/tone"] == "Be kind."


@pytest.mark.parametrize(
    ("text", "description", "content"),
    [
        ("---\ndescription: How\n---\nText\n", "How", "Text\n"),
        ("---\r\ndescription: How\r\n---\r\nText", "How", "Text"),
        ("---\ndescription: 'a --- b'\n---", "a --- b", ""),
        ("---\n---\nText", None, "Text"),
        ("Text", None, "Text"),
        ("---\ndescription: 5\n---\nText", None, "Text"),
    ],
)
def test_references_are_taken_apart(folder: Path, text: str, description: str | None, content: str) -> None:
    (folder / "references").mkdir()
    (folder / "references" / "guide.md").write_bytes(text.encode())
    reference = read_folder(folder).references["guide"]
    assert (reference.description, reference.content) == (description, content)


def test_files_that_cannot_be_read_are_errors_beside_all_others(folder: Path) -> None:
    (folder / "settings.json").write_text('{"slug": "a",\n oops}')
    (folder / "prompts" / "ask.md").write_bytes(b"\xff")
    (folder / "prompts" / "long.md").write_text("x" * (MAX_FILE_BYTES + 1))
    assert [each for each in found(read_folder(folder)) if each[0] != "protocol.yaml"] == [
        ("prompts/ask.md", None, "the file is no UTF-8 text"),
        ("prompts/long.md", None, "the file is larger than 1024 KiB"),
        ("settings.json", 2, "this is no JSON: Expecting property name enclosed in double quotes"),
    ]


def test_a_missing_protocol_is_an_error(folder: Path) -> None:
    (folder / "protocol.yaml").unlink()
    assert found(read_folder(folder)) == [("protocol.yaml", None, "the file is missing")]


def test_links_out_of_the_folder_are_not_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.md"
    secret.write_text("secret")
    (folder / "prompts" / "link.md").symlink_to(secret)
    source = read_folder(folder)
    assert "link" not in source.prompts
    assert ("prompts/link.md", None, "the file is a link out of the folder") in found(source)


def test_a_folder_that_holds_no_definition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no definition"):
        read_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="is no folder"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], "a definition is an object with settings, protocol and prompts"),
        ({"settings": {}}, "the field protocol must be the text of the YAML document"),
        ({"protocol": "{}"}, "the field settings is missing"),
        ({"prompts": {"a": "b"}}, "the field prompts must be a list"),
        ({"prompts": [{"content": "b"}]}, "prompts[0] must be an object with a name"),
        ({"prompts": [{"name": "a", "content": 1}]}, "the field content must be text"),
        ({"prompts": [{"name": "a", "content": ""}] * 2}, "prompts has 'a' twice"),
        ({"prompts": [{"name": "../a", "content": ""}], "protocol": "{}"}, "is no name for a prompt"),
    ],
)
def test_bodies_of_another_form_are_reported(body: object, expected: str) -> None:
    messages = [message for _, _, message in found(read_wire(body))]
    assert any(expected in message for message in messages), messages

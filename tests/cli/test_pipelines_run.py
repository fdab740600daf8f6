"""Run pipelines and tell past runs, with nothing configured and against a database; at a terminal and without one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.pipelines.reading.folder import read_folder
from tests.cli.program import Background, Program, until
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pipelines"
ANSWER = re.compile(r"run: agent-worker (tasks answer) (\w+) '(.*?)' ·")
LETTER = '{"LETTER": "I am cross.", "KIND": "complaint"}'

Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path, database_url: str) -> Iterator[Open]:
    """Opens terminals, in each of which one command runs."""
    opened: list[Terminal] = []

    def start(*arguments: str, columns: int = 80, **env: str) -> Terminal:
        opened.append(Terminal(tmp_path, database_url, *arguments, columns=columns, env=env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def example(name: str) -> str:
    return str(EXAMPLES / name)


async def push(url: str, name: str) -> None:
    async with Database(url) as db:
        await Definitions(db, "pipeline").push(name, read_folder(EXAMPLES / name).as_json())


def answer_next(program: Program, running: Background, answered: int, response: str) -> None:
    """Answer from elsewhere what a run says that it waits for."""
    until(lambda: len(ANSWER.findall(running.err.read_text())) > answered)
    _, question, _ = ANSWER.findall(running.err.read_text())[answered]
    done = program("tasks", "answer", question, response)
    assert (done.code, done.err) == (0, "")


def test_a_definition_runs_with_nothing_configured(bare: Program) -> None:
    done = bare("pipelines", "run", example("summarise"), "--input", '{"TEXT": "The sea is wide."}')
    assert done.code == 0
    assert done.out == "Summarise this text:\n\nThe sea is wide.\n\n"
    lines = done.err.splitlines()
    assert lines[0].startswith("summarise  ")
    assert re.search(r"^● Summarise +next-message +\d+ ms +\d+ tokens$", done.err, re.MULTILINE)
    assert re.search(r"^● completed  .* · 1 model call · \d+ tokens$", done.err, re.MULTILINE)
    assert max(map(len, lines)) <= 80


def test_the_other_examples_run_offline_and_are_answered_from_elsewhere(program: Program) -> None:
    texts = json.dumps({"TEXTS": [f"text {n}" for n in range(20)], "LANGUAGE": "Latin"})
    done = program("pipelines", "run", example("translate-each"), "--input", texts)
    assert done.code == 0
    assert len(done.json) == 20
    assert "17 rounds completed" in done.err
    assert "#20 Translate" in done.err

    approving = program.start("pipelines", "run", example("approve-reply"), "--input", LETTER)
    answer_next(program, approving, 0, '{"approved": false, "remarks": "Warmer."}')
    answer_next(program, approving, 1, '{"approved": true}')
    assert approving.wait() == 0
    assert "Warmer." in approving.out.read_text()

    researching = program.start("pipelines", "run", example("research"), "--input", '{"TOPIC": "tides"}')
    until(lambda: ANSWER.search(researching.err.read_text()))
    _, question, shown = ANSWER.findall(researching.err.read_text())[0]
    assert program("tasks", "answer", question, shown).code == 0, "the example in the note is an answer"
    assert researching.wait() == 0
    assert json.loads(researching.out.read_text())["title"] == "No report could be written"


def test_a_replay_tells_what_the_run_told(program: Program) -> None:
    given = json.dumps({"TEXTS": ["one", "two"], "LANGUAGE": "Latin"})
    run = program("pipelines", "run", example("translate-each"), "--input", given)
    task_id = run.err.splitlines()[0].split()[1]
    replayed = program("pipelines", "replay", task_id)
    assert replayed.code == 0

    def told(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("● completed")]

    assert told(replayed.out) == told(run.err) + told(run.out)
    assert program("pipelines", "replay", task_id, "--json").out.count("\n") > 8


def test_a_replay_from_a_step_is_a_new_run_that_begins_there(program: Program) -> None:
    asked = program.start("pipelines", "run", example("research"), "--input", '{"TOPIC": "tides"}')
    until(lambda: ANSWER.search(asked.err.read_text()))
    _, question, shown = ANSWER.findall(asked.err.read_text())[0]
    assert program("tasks", "answer", question, shown).code == 0
    assert asked.wait() == 0
    task_id = asked.err.read_text().split()[1]

    forked = program("pipelines", "replay", task_id, "--from", "Write the report")
    assert forked.code == 0
    assert forked.json["title"] == "No report could be written"
    assert "Write the report" in forked.err
    assert "Take notes" not in forked.err
    assert task_id not in forked.err

    refused = program("pipelines", "replay", task_id, "--from", "Write a report")
    assert refused.code == 2
    assert "Write a report" in refused.err


def test_each_event_of_the_protocol_is_one_line_of_json(program: Program) -> None:
    run = program("pipelines", "run", example("summarise"), "--input", '{"TEXT": "Hi."}', "--json")
    events = [json.loads(line) for line in run.out.splitlines()]
    assert (run.code, run.err) == (0, "")
    assert [event["type"] for event in events[:2]] == ["start", "worker-start"]
    assert [event["type"] for event in events[-3:]] == ["worker-result", "finish", "usage"]
    assert not [event for event in events if "step" in event or None in event.values()]

    replayed = program("pipelines", "replay", events[0]["executionId"], "--json")
    assert replayed.out == run.out


def test_a_run_that_fails_exits_with_1_and_says_why(program: Program) -> None:
    given = '{"TEXT": "Hi.", "MODEL": "openai/gpt-5"}'
    done = program("pipelines", "run", example("summarise"), "--input", given)
    assert (done.code, done.out) == (1, "")
    assert re.search(r"^✕ Summarise", done.err, re.MULTILINE)
    assert re.search(r"^error: the task failed · missing_key: ", done.err, re.MULTILINE)

    done = program("pipelines", "run", example("summarise"), "--input", given, "--json")
    assert done.code == 1
    assert json.loads(done.out.splitlines()[-1])["type"] == "error"


def test_what_cannot_run_is_refused_before_anything_starts(bare: Program) -> None:
    done = bare("pipelines", "run", example("summarise"), "--input", '{"TEXTS": "Hi."}')
    assert done.code == 2
    assert "$.TEXT is required" in done.err
    assert "did you mean 'TEXT'?" in done.err
    assert bare("pipelines", "run", example("summarise"), "--input", "@missing.json").code == 2
    assert not (bare.folder / ".agent-worker").exists()


def test_an_interactive_agent_answers_a_trigger(program: Program) -> None:
    folder = program.folder / "agent"
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "system.md").write_text("You help.")
    (folder / "prompts" / "hello.md").write_text("{{WORDS}}")
    (folder / "settings.json").write_text('{"slug": "agent", "name": "Agent", "format": "interactive"}')
    (folder / "protocol.yaml").write_text(
        "agent: {model: echo/echo, system: system}\ntriggers: {user-message: {input: {WORDS: {type: string}}}}\n"
        "handlers:\n  user-message:\n    Hear: {block: add-message, role: user, prompt: hello, input: [WORDS]}\n"
        "    Answer: {block: next-message}\n"
    )
    given = ("--input", '{"WORDS": "Good morning."}')
    done = program("pipelines", "run", "agent", "--trigger", "user-message", *given)
    assert (done.code, done.out.strip()) == (0, "Good morning.")
    refused = program("pipelines", "run", "agent", *given)
    assert refused.code == 2
    assert "must name a trigger" in refused.err


def test_a_pushed_definition_runs_by_its_slug_and_an_unknown_one_is_refused(
    program: Program, database_url: str
) -> None:
    asyncio.run(push(database_url, "summarise"))
    done = program(
        "pipelines", "run", "summarise", "--version", "1", "--input", "@-", text='{"TEXT": "By name."}'
    )
    assert done.code == 0
    assert "By name." in done.out

    done = program("pipelines", "run", "sumarise")
    assert done.code == 2
    assert "no pushed definition sumarise · pushed are summarise" in done.err


def test_workers_are_taken_from_the_folders_beside(program: Program) -> None:
    folder = program.folder / "caller"
    folder.mkdir()
    (program.folder / "summarise").symlink_to(EXAMPLES / "summarise")
    (folder / "settings.json").write_text('{"slug": "caller", "name": "Caller", "format": "worker"}')
    (folder / "protocol.yaml").write_text(
        "input: {TEXT: {type: string}}\nvariables: {SHORT: {type: string}}\nworkers: {summarise: {description: Makes it short}}\n"
        "steps:\n  Call it:\n    block: run-worker\n    worker: summarise\n    input: {TEXT: TEXT}\n    output: SHORT\n"
        "output: SHORT\n"
    )
    done = program("pipelines", "run", "caller", "--input", '{"TEXT": "Deep down."}')
    assert done.code == 0, done.err
    assert "Deep down." in done.out
    assert re.search(r"^● Call it  summarise +run-worker", done.err, re.MULTILINE)
    assert re.search(r"^  ● Summarise +next-message", done.err, re.MULTILINE)


def test_questions_are_asked_at_the_terminal(terminal: Open) -> None:
    run = terminal("pipelines", "run", example("approve-reply"), "--input", LETTER)
    run.until("approve (y or n) ❯")
    assert "I am cross." in run.text
    run.type("perhaps")
    run.until("Type y or n.")
    run.type("n")
    run.until("remarks (What to change. · enter leaves it out) ❯")
    run.type("Warmer.")
    run.until("Warmer.")
    run.until("approve (y or n) ❯")
    run.type("y")
    run.until("remarks")
    run.type("")
    run.until("● completed")
    assert run.wait() == 0


def test_tools_of_the_client_are_answered_with_json_at_the_terminal(terminal: Open) -> None:
    run = terminal("pipelines", "run", example("research"), "--input", '{"TOPIC": "tides"}', columns=120)
    run.until("result ❯")
    run.type("sunny")
    run.until("This is no JSON")
    run.type('["Twice a day."]')
    run.until('= ["Twice a day."]')
    assert run.wait() == 0


def test_an_answer_from_elsewhere_takes_the_question_away(terminal: Open, database_url: str) -> None:
    run = terminal("pipelines", "run", example("approve-reply"), "--input", LETTER)
    run.until("approve (y or n) ❯")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("UPDATE public.human_tasks SET response = '{\"approved\": true}'")
    run.until("● completed")
    assert run.wait() == 0


def test_ctrl_c_cancels_the_run(terminal: Open, database_url: str) -> None:
    run = terminal("pipelines", "run", example("approve-reply"), "--input", LETTER)
    run.until("approve (y or n) ❯")
    run.interrupt()
    run.until("⊘ cancelled")
    assert run.wait() == 130
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT status FROM public.agent_task_requests").fetchall() == [("cancelled",)]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_color_has_none(terminal: Open, columns: int) -> None:
    given = json.dumps({"TEXTS": ["word " * 60, "two"], "LANGUAGE": "Latin"})
    arguments = ("pipelines", "run", example("translate-each"), "--input", given)
    run = terminal(*arguments, columns=columns, NO_COLOR="1")
    assert run.wait() == 0
    assert not re.search(r"\x1b\[(?:3[0-7]|9[0-7])m", run.raw)
    end = next(n for n, line in enumerate(run.lines) if line.startswith("● completed"))
    assert [line for line in run.lines[:end] if len(line) > columns] == []

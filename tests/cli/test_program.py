"""The program as a whole: what it lists, what it loads, how it leaves."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_worker.cli.program import GROUPS, SECTIONS
from agent_worker.cli.screen import program_here
from tests.cli.program import PROGRAM, Program, environment

COMMANDS = {name: name for commands in SECTIONS.values() for name in commands if name not in GROUPS}
MODULES = {
    f"{group}_{name}": sentence for group, names in GROUPS.items() for name, sentence in names.items()
} | {name: sentence for names in SECTIONS.values() for name, sentence in names.items() if name in COMMANDS}
"""The module of each command, with the sentence that the list says of it."""

HEAVY = (
    "asyncio",
    "langchain",
    "openai",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "rich",
    "ruamel",
    "structlog",
    "supabase",
    "tenacity",
)


def test_help_loads_nothing_heavy_and_no_command() -> None:
    """Startup time as a list of modules: a clock would say something else on every machine."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "typer" in loaded
    assert not loaded & set(HEAVY)
    ours = {name for name in loaded if name.startswith("agent_worker.")}
    assert {name.split(".")[1] for name in ours} == {"cli", "domain"}
    assert not ours & {f"agent_worker.cli.{module}" for module in MODULES}


def test_help_lists_every_command(bare: Program) -> None:
    done = bare("--help")

    assert (done.code, done.err) == (0, "")
    assert all(re.search(rf"^  {name} ", done.out, re.MULTILINE) for name in (*COMMANDS, *GROUPS))
    assert bare().out == done.out


@pytest.mark.parametrize(("module", "sentence"), MODULES.items())
def test_the_list_says_what_each_command_says_of_itself(module: str, sentence: str) -> None:
    function = vars(importlib.import_module(f"agent_worker.cli.{module}"))[module]

    assert (inspect.getdoc(function) or "").partition("\n")[0] == sentence


def test_what_to_try_next_is_called_as_the_shell_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(PROGRAM.parent))
    assert program_here() == "agent-worker"

    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(program_here()).samefile(PROGRAM)


@pytest.mark.parametrize(
    "arguments", [("run",), ("submit",), ("tasks", "show"), ("schedules", "add"), ("migrate",)]
)
def test_each_command_has_help_of_80_columns(bare: Program, arguments: tuple[str, ...]) -> None:
    done = bare(*arguments, "--help")

    assert done.code == 0
    assert done.out.startswith(f"Usage: agent-worker {' '.join(arguments)} [OPTIONS]")
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("sttus",), "there is no command 'sttus'; did you mean status?"),
        (("tasks", "lst"), "there is no command 'lst'; did you mean list?"),
        (("schedules", "ad"), "there is no command 'ad'; did you mean add?"),
        (("schedules", "add", "x", "--cron", "@daily"), "--kind"),
        (
            ("schedules", "add", "x", "--cron", "@daily", "--kind", "k", "--payload", "[]"),
            "must be a JSON object",
        ),
        (("status", "--jsn"), "--jsn"),
        (("tasks", "show"), "ID"),
        (("tasks", "list", "--status", "done"), "done"),
        (("tasks", "list", "--since", "yesterday"), "'yesterday' is no time"),
        (("tasks", "retry"), "name tasks by their ids, or choose them with --all-failed or --status"),
        (("tasks", "retry", "00", "--all-failed"), "name tasks by their ids, or choose them"),
        (("tasks", "retry", "00", "--code", "timeout"), "leave out the options that choose"),
        (("tasks", "retry", "00", "--dry-run"), "leave out the options that choose"),
        (("tasks", "retry", "--all-failed", "--status", "cancelled"), "say one of them"),
        (("tasks", "retry", "--status", "completed"), "all of history would run again"),
        (("tasks", "retry", "--status", "pending"), "a pending task has not ended"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_mistake(
    bare: Program, arguments: tuple[str, ...], problem: str
) -> None:
    done = bare(*arguments)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err


def test_a_closed_pipe_is_quiet(bare: Program) -> None:
    command = f"{PROGRAM} config --env-example | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment(None),
        cwd=bare.folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert done.stdout in {
        "0\n",
        "141\n",
    }  # 0 when all of it went into the pipe's buffer before it was closed


def test_version_is_printed(bare: Program) -> None:
    assert re.fullmatch(r"agent-worker \d+\.\d+\.\d+\n", bare("--version").out)


def test_commands_that_look_make_no_database(bare: Program) -> None:
    for arguments in (("status",), ("check",), ("tasks", "list"), ("watch",)):
        done = bare(*arguments)

        assert done.code == 3
        assert done.err == (
            "error: there is no database yet · DATABASE_URL is not set, and .agent-worker holds none · "
            "run: agent-worker dev, or set DATABASE_URL\n"
        )
    assert list(bare.folder.iterdir()) == []

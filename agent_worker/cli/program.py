"""The program: which commands there are, and how one is found and run."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from agent_worker import __version__
from agent_worker.cli.exits import PROGRAM, leaving

SECTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Start": {
            "demo": "Watch a small fleet work, from the first row to the last answer.",
            "dev": "Start a database, the API that browsers use, the dashboard and a worker here, ready to try.",
            "run": "Run workers until they are told to stop.",
            "gateway": "Serve the API that browsers use in the place of Supabase's.",
        },
        "Tasks": {
            "submit": "Insert a task, and wait for its answer if you like.",
            "tasks": "List, show, cancel, retry and answer tasks.",
            "schedules": "Add, list and remove schedules: tasks inserted by the clock.",
            "limits": "Set, list and remove limits on what runs at once and what starts in a while.",
            "pause": "Start no more tasks of a kind, anywhere in the fleet.",
            "resume": "Start tasks of a paused kind again, the oldest first.",
            "pipelines": "Check, run, replay and store worker pipelines.",
            "watch": "Follow the fleet live.",
        },
        "Operate": {
            "status": "Say how the fleet stands, first of all what is wrong.",
            "workers": "List workers, and have one leave.",
            "check": "Send a task through a live worker and time it.",
            "doctor": "Check what this machine can do, and how to mend what it cannot.",
            "config": "Show every setting, its value and where it comes from.",
            "migrate": "Create or update the tables.",
        },
    }
)
"""Every command with the first sentence of its help, as `--help` lists them."""

GROUPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "tasks": {
            "list": "List tasks by their last change, newest first.",
            "show": "Show one task: what happened when, what went in and what came out.",
            "cancel": "Stop tasks.",
            "retry": "Run ended tasks again.",
            "answer": "Answer what a task asks a person or the client's tools; the task goes on by itself.",
        },
        "schedules": {
            "add": "Insert a task again and again, by the clock.",
            "list": "List schedules: when each fires next, when it last did, and what is wrong.",
            "remove": "Delete a schedule; the tasks it has inserted stay.",
        },
        "limits": {
            "set": "Limit how many tasks run at once, or start in a while.",
            "list": "List limits and pauses, and how many tasks each counts now.",
            "remove": "Delete a limit; what it held back starts at once.",
        },
        "pipelines": {
            "validate": "Say what is wrong with definitions, with file and line.",
            "run": "Run a pipeline and tell its steps as they run.",
            "replay": "Tell a run of the past, or one that still runs, as far as it is.",
            "push": "Store definitions, each as the next version of its slug, for tasks that run it by name.",
            "list": "List the definitions that are stored, with their newest versions.",
            "show": "Show one stored definition: its inputs, its steps and its versions.",
            "archive": "Let no new task find a stored definition by its name alone.",
        },
        "workers": {
            "list": "List the workers that live, and those that vanished in the last hour.",
            "drain": "Have a worker finish what it runs, and leave.",
        },
    }
)
"""Commands that have commands of their own, in the same form; the module of `tasks list` is `tasks_list`."""


class LazyGroup(TyperGroup):
    """Commands that are imported when they are called; each is the function `name` of the module `name`."""

    sections: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Return all names, in the order of the help."""
        return [name for commands in self.sections.values() for name in commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; a name that nobody has ends the program with the likely one."""
        names = self.list_commands(ctx)
        if cmd_name not in names:
            close = difflib.get_close_matches(cmd_name, names, n=1)
            ctx.fail(f"there is no command {cmd_name!r}" + (f"; did you mean {close[0]}?" if close else ""))
        if not self.prefix and cmd_name in GROUPS:
            return _group(cmd_name)
        module = importlib.import_module(f"agent_worker.cli.{self.prefix}{cmd_name}")
        alone = plain_typer()
        alone.command(cmd_name)(vars(module)[f"{self.prefix}{cmd_name}"])
        return get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """Write the list of commands without importing them."""
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


class Program(LazyGroup):
    """The root: errors become messages and exit codes here."""

    sections = SECTIONS

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with leaving():
            return super().invoke(ctx)


def _group(name: str) -> Any:
    """Return a command that has commands; called without one, it shows its help."""
    (sentence,) = (commands[name] for commands in SECTIONS.values() if name in commands)
    group = plain_typer(cls=LazyGroup, name=name, help=sentence)
    group.callback(invoke_without_command=True)(_show_help)
    command: Any = get_command(group)
    command.sections, command.prefix = {"Commands": GROUPS[name]}, f"{name}_"
    return command


def _show_help(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> None:
    """Run the program on `sys.argv`; always raises SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ● shows ?, and the command goes on
    get_command(_program())(prog_name=PROGRAM)


def _program() -> typer.Typer:
    program = plain_typer(cls=Program)
    program.callback(invoke_without_command=True)(_root)
    return program


def _root(
    ctx: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Insert a row, get an answer: workers for AI-agent tasks, with PostgreSQL as their queue."""
    if version:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def plain_typer(**options: Any) -> typer.Typer:
    """Return a Typer whose help is plain text, which takes a fifth of the time of a decorated one."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **options,
    )

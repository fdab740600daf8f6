"""`python -m benchmarks`: measure, and write what was measured to benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.embedded.places import remove_data
from benchmarks.contestants.contestant import Contestant
from benchmarks.contestants.registry import CONTESTANTS
from benchmarks.failure import RunFailed
from benchmarks.picture import as_svg
from benchmarks.report import Measured, as_json, as_markdown
from benchmarks.scenarios.registry import SCENARIOS
from benchmarks.scenarios.scenario import Bench, Run, Scenario
from benchmarks.server import running_server

FOLDER = Path(__file__).parent
SCRATCH = FOLDER / ".scratch"


def main() -> None:
    """Parse, measure, write."""
    chosen = _arguments()
    _remove_leftovers()
    SCRATCH.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=SCRATCH))
    try:
        with running_server(scratch / "postgres") as server:
            _run(Bench(server, scratch, is_quick=chosen.quick), chosen)
    except KeyboardInterrupt:
        print("stopped · what had been measured is in the results")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove what killed runs left; leave alone what runs, and say so."""
    for folder in SCRATCH.glob("run-*"):
        try:
            remove_data(folder / "postgres")
        except DatabaseUnavailable:
            print("another benchmark is running: both will measure each other")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(bench: Bench, chosen: argparse.Namespace) -> None:
    facts = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "sizes": "quick: to try things, not to quote" if bench.is_quick else "full",
        **bench.server.facts(),
    }
    wanted = {name: CONTESTANTS[name] for name in chosen.contestants}
    present = {name: one for name, one in wanted.items() if _is_ready(bench, one)}
    measured: list[Measured] = []
    for name in chosen.only:
        scenario = SCENARIOS[name]
        item = Measured(scenario)
        measured.append(item)
        try:
            for number in range(chosen.rounds or scenario.rounds[not bench.is_quick]):
                _round(bench, item, [present[who] for who in scenario.contestants if who in present], number)
                _write(measured, facts, present, chosen.output)
        finally:
            scenario.close(bench)


def _is_ready(bench: Bench, contestant: Contestant) -> bool:
    if contestant.version.startswith("("):
        print(f"{contestant.name} takes no part {contestant.version}")
        return False
    bench.server.prepare(contestant)
    return True


def _round(bench: Bench, item: Measured, contestants: Sequence[Contestant], number: int) -> None:
    """Let everybody run once; a contestant that failed is not asked again."""
    for contestant in contestants:
        if contestant.name in item.failures:
            continue
        began = time.monotonic()
        try:
            run = item.scenario.run(bench, contestant)
        except (RunFailed, psycopg.Error) as exc:
            item.failures[contestant.name] = f"{type(exc).__name__}: {exc}"
            print(f"{item.scenario.name} {number + 1} {contestant.name:<16} failed · {exc}", flush=True)
            continue
        item.runs.setdefault(contestant.name, []).append(run)
        took_s = time.monotonic() - began
        print(
            f"{item.scenario.name} {number + 1} {_line(item.scenario, contestant, run)} · {took_s:.0f} s",
            flush=True,
        )


def _line(scenario: Scenario, contestant: Contestant, run: Run) -> str:
    shown = (
        f"{figure.label} {run.figures[figure.key]:,.{figure.digits}f}"
        for figure in scenario.figures
        if figure.key in run.figures
    )
    return " · ".join([f"{contestant.name:<16}", *shown, *run.notes])


def _write(
    measured: Sequence[Measured], facts: dict[str, str], present: dict[str, Contestant], folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(
        json.dumps(as_json(measured, facts, present), indent=2) + "\n", encoding="utf-8"
    )
    (folder / "results.md").write_text(as_markdown(measured, facts, present), encoding="utf-8")
    (folder / "results.svg").write_text(as_svg(measured, present), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: minutes, not hours; to try, not to quote"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="runs of everybody, interleaved")
    parser.add_argument(
        "--only", type=_names(SCENARIOS), default=list(SCENARIOS), metavar="A,B", help=", ".join(SCENARIOS)
    )
    parser.add_argument(
        "--contestants",
        type=_names(CONTESTANTS),
        default=list(CONTESTANTS),
        metavar="A,B",
        help=", ".join(CONTESTANTS),
    )
    parser.add_argument("--output", type=Path, default=FOLDER / "results", metavar="FOLDER")
    return parser.parse_args()


def _names(known: dict[str, Scenario] | dict[str, Contestant]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is unknown; known are {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()

"""What was measured, as JSON and as Markdown: medians, and the smallest and the largest value of all rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contestants.contestant import Contestant
from benchmarks.scenarios.scenario import Figure, Run, Scenario

OURS = "ours"
"""How our contestants' names begin; the others are compared with the first of them."""

MARKS = {"row": "no result", "log": "log only", "nothing": "keeps nothing"}


@dataclass(slots=True)
class Measured:
    """All runs of one scenario.

    Attributes:
        scenario: Which.
        runs: By contestant, in the order of the scenario; a contestant without any run could not take part.
        failures: Why a run gave nothing, by contestant.
    """

    scenario: Scenario
    runs: dict[str, list[Run]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def values(self, name: str, figure: Figure) -> list[float]:
        """Return a contestant's values of one figure, one per round."""
        return [run.figures[figure.key] for run in self.runs.get(name, ()) if figure.key in run.figures]

    def notes(self, name: str) -> list[str]:
        """Return what a reader must know about a contestant's runs, each once."""
        return sorted({note for run in self.runs.get(name, ()) for note in run.notes})


def as_json(
    measured: Sequence[Measured], facts: Mapping[str, str], contestants: Mapping[str, Contestant]
) -> dict[str, object]:
    """Return everything, with each single value."""
    return {
        "facts": dict(facts),
        "contestants": {
            name: {"version": one.version, "settings": one.settings(), "keeps": one.keeps}
            for name, one in contestants.items()
        },
        "scenarios": {
            item.scenario.name: {
                "title": item.scenario.title,
                "runs": {
                    name: [{"figures": run.figures, "notes": list(run.notes)} for run in runs]
                    for name, runs in item.runs.items()
                },
                "failures": item.failures,
            }
            for item in measured
        },
    }


def as_markdown(
    measured: Sequence[Measured], facts: Mapping[str, str], contestants: Mapping[str, Contestant]
) -> str:
    """Return the tables."""
    parts = ["# Results", "", "Median (smallest – largest) of all rounds. How to read this: README.md.", ""]
    for item in measured:
        parts += [f"## {item.scenario.title}", "", *_table(item, contestants), ""]
        parts += [f"- {name}: failed · {why}" for name, why in item.failures.items()]
        parts += [f"- {name}: {'; '.join(notes)}" for name in item.runs if (notes := item.notes(name))]
        parts.append("")
    parts += [
        "## Who took part",
        "",
        "| | version | settings | keeps of a finished task |",
        "|---|---|---|---|",
    ]
    parts += [
        f"| {name} | {one.version} | {one.settings()} | {one.keeps} |" for name, one in contestants.items()
    ]
    parts += [
        "",
        "## Where",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
    ]
    return "\n".join(parts) + "\n"


def _table(item: Measured, contestants: Mapping[str, Contestant]) -> list[str]:
    figures = item.scenario.figures
    base = next((name for name in item.runs if name.startswith(OURS) and item.values(name, figures[0])), None)
    head = ["", *(figure.label for figure in figures), *([f"{base} ÷ this"] if base else [])]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for name in item.runs:
        cells = [_spread(item.values(name, figure), figure) for figure in figures]
        if base:
            cells.append(_ratio(item, base, name))
        lines.append(_row([_label(name, contestants[name]), *cells]))
    return lines


def _label(name: str, contestant: Contestant) -> str:
    """Mark who leaves no result of a task in the database."""
    return name if contestant.keeps == "result" else f"{name} ({MARKS[contestant.keeps]})"


def _ratio(item: Measured, base: str, name: str) -> str:
    figure = item.scenario.figures[0]
    theirs = item.values(name, figure)
    if not theirs or name == base or median(theirs) <= 0:
        return ""
    return f"{median(item.values(base, figure)) / median(theirs):.2f}"


def _spread(values: Sequence[float], figure: Figure) -> str:
    if not values:
        return "–"
    middle, low, high = (
        f"{value:,.{figure.digits}f}" for value in (median(values), min(values), max(values))
    )
    return middle if len(values) == 1 else f"{middle} ({low} – {high})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

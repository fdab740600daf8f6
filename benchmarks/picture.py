"""What was measured, as one SVG: a panel per scenario, a bar per contestant, a whisker from the smallest to the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median

from benchmarks.contestants.contestant import Contestant
from benchmarks.report import OURS, Measured

WIDTH = 760
LABELS = 150
"""Width of the names."""
VALUES = 90
"""Width of the figures behind the bars."""
ROW = 24
HEAD = 44
GAP = 22

_COLOURS = {"ours": "#0b7285", "bound": "#adb5bd", "peer": "#868e96"}
_FONT = "font-family='system-ui, sans-serif' font-size='13'"


def as_svg(measured: Sequence[Measured], contestants: Mapping[str, Contestant]) -> str:
    """Draw the first figure of each scenario."""
    parts: list[str] = []
    top = 16
    for item in measured:
        rows = [
            (name, values) for name in item.runs if (values := item.values(name, item.scenario.figures[0]))
        ]
        if rows:
            parts += _panel(item, rows, contestants, top)
            top += HEAD + ROW * len(rows) + GAP
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{top}' viewBox='0 0 {WIDTH} {top}' {_FONT}>\n"
        f"<rect width='{WIDTH}' height='{top}' fill='#ffffff'/>\n{body}\n</svg>\n"
    )


def _panel(
    item: Measured, rows: Sequence[tuple[str, list[float]]], contestants: Mapping[str, Contestant], top: int
) -> list[str]:
    figure = item.scenario.figures[0]
    better = "more is better" if figure.is_better_high else "less is better"
    largest = max(max(values) for _, values in rows) or 1.0
    scale = (WIDTH - LABELS - VALUES) / largest
    parts = [
        f"<text x='8' y='{top + 14}' font-weight='600'>{escape(item.scenario.title)}</text>",
        f"<text x='8' y='{top + 32}' fill='#495057'>{escape(figure.label)}, {better}</text>",
    ]
    for number, (name, values) in enumerate(rows):
        y = top + HEAD + number * ROW
        low, middle, high = (
            LABELS + scale * max(value, 0.0) for value in (min(values), median(values), max(values))
        )
        centre = y + ROW / 2 - 3
        whisker = f"M{low:.1f} {centre}H{high:.1f}M{low:.1f} {centre - 4}v8M{high:.1f} {centre - 4}v8"
        colour = _colour(contestants[name])
        parts += [
            f"<text x='{LABELS - 8}' y='{y + 14}' text-anchor='end'>{escape(name)}</text>",
            f"<rect x='{LABELS}' y='{y}' width='{middle - LABELS:.1f}' height='{ROW - 6}' fill='{colour}'/>",
            f"<path d='{whisker}' stroke='#212529' fill='none'/>",
            f"<text x='{max(middle, high) + 6:.1f}' y='{y + 14}'>{median(values):,.{figure.digits}f}</text>",
        ]
    return parts


def _colour(contestant: Contestant) -> str:
    if not contestant.is_queue:
        return _COLOURS["bound"]
    return _COLOURS["ours" if contestant.name.startswith(OURS) else "peer"]

